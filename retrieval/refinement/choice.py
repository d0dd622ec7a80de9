"""Which stage a query asks for, and how: from options to a stage that is ready to run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InputError
from ...learn.surrogate import SurrogateFile, named_surrogate
from .checkpoint import NAME
from .inference_stage import InferenceRefinement
from .local import LocalSettings
from .local_stage import LocalRefinement
from .neural_stage import NeuralRefinement
from .sampling import TransitionalSettings
from .site import Where
from .stage import Refinement
from .transitional_stage import PriorName, TransitionalRefinement

STAGES = ("none", "local", "tmcmc", "npe", "lmi")
"""Names of what may come after retrieval."""


@dataclass(frozen=True)
class StageChoice:
    """A stage after retrieval, as a user names it; the fields are options of `gliodex query`.

    Args:
        name: one of `STAGES`.
        where: anatomy that it simulates in.
        evaluations: simulations at most; the stage's own number by default.
        prior: of tmcmc, "paper" or "store".
        around_matches: tmcmc begins around the matches.
        alike_mm: of tmcmc, length over which images err alike.
        samples: of each stage of tmcmc.
        repeats: independent runs of tmcmc.
        simulations: of each round of npe.
        rounds: of npe.
        arch: network of lmi, one of `learn.growth.GROWTH_DESIGNS`.
        surrogate: file of a network that stands in for the solver, of tmcmc and npe; see `named_surrogate`.
        device: that it runs on.
        search_thresholds: local and lmi find both thresholds too; without it, the store's are taken.
    """

    name: str = "none"
    where: Where = "patient"
    evaluations: int | None = None
    prior: PriorName | None = None
    around_matches: bool = False
    alike_mm: float | None = None
    samples: int | None = None
    repeats: int | None = None
    simulations: int | None = None
    rounds: int | None = None
    arch: str | None = None
    surrogate: Path | None = None
    device: str = "cpu"
    search_thresholds: bool = True

    def stage(self, folder: Path) -> Refinement | None:
        """Make the stage; None for "none".

        Args:
            folder: of the results, where an interrupted stage finds how far it came.

        Raises:
            InputError: an option does not belong to the stage, or is out of range.
        """
        if self.name not in STAGES:
            raise InputError(f"‹refine={self.name}› is none of {', '.join(STAGES)}")
        self._refuse_others()
        if self.name == "local":
            return self._local()
        if self.name == "tmcmc":
            return self._transitional(folder)
        if self.name == "lmi":
            return InferenceRefinement(self.where, self.search_thresholds, self.arch or "small")
        return self._neural() if self.name == "npe" else None

    def _local(self) -> LocalRefinement:
        settings = LocalSettings()
        if self.evaluations is not None:
            settings = replace(settings, evaluations=self.evaluations)
        return LocalRefinement(settings, self.where, self.search_thresholds)

    def _transitional(self, folder: Path) -> TransitionalRefinement:
        samples = TransitionalSettings.samples if self.samples is None else self.samples
        settings = TransitionalSettings(samples, evaluations=self.evaluations)
        return TransitionalRefinement(
            settings,
            self.where,
            self.prior or "paper",
            self.around_matches,
            self.alike_mm or 0.0,
            1 if self.repeats is None else self.repeats,
            folder / NAME,
            self._surrogate,
            self.device,
        )

    @property
    def _surrogate(self) -> SurrogateFile | None:
        return named_surrogate(self.surrogate) if self.surrogate else None

    def _neural(self) -> NeuralRefinement:
        given = {"simulations": self.simulations, "rounds": self.rounds}
        chosen = {name: n for name, n in given.items() if n is not None}
        return NeuralRefinement(where=self.where, surrogate=self._surrogate, device=self.device, **chosen)

    def _refuse_others(self) -> None:
        given = {
            "evaluations": self.evaluations,
            "prior": self.prior,
            "around_matches": self.around_matches or None,
            "alike_mm": self.alike_mm,
            "samples": self.samples,
            "repeats": self.repeats,
            "simulations": self.simulations,
            "rounds": self.rounds,
            "arch": self.arch,
            "surrogate": self.surrogate,
        }
        for option, value in given.items():
            if value is not None and self.name not in _BELONGS[option]:
                stages = " or ".join(f"‹refine={name}›" for name in _BELONGS[option])
                raise InputError(f"‹{option}› is for {stages}", hint="leave it out, or name such a stage")


_BELONGS = {
    "evaluations": ("local", "tmcmc"),
    "prior": ("tmcmc",),
    "around_matches": ("tmcmc",),
    "alike_mm": ("tmcmc",),
    "samples": ("tmcmc",),
    "repeats": ("tmcmc",),
    "simulations": ("npe",),
    "rounds": ("npe",),
    "arch": ("lmi",),
    "surrogate": ("tmcmc", "npe"),
}
