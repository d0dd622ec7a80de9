"""Options of each refinement method: what a user may choose, declared once for all faces.

A method is one class here, and one entry of `METHODS`: the command line, the HTTP form, the Python signatures and the
reference pages are made from it (`retrieval.options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..option_declaration import declared, option

if TYPE_CHECKING:
    from .refinement_base import Refinement

SimulationSpace = Literal["patient", "atlas"]
"""Where refinement simulates: in the atlas's tissue carried to the patient (or the patient's own), or in the atlas."""

PriorName = Literal["ezhov2021", "store"]
"""Ranges of growth: Table I of Ezhov et al. (2021), or those of the store's own tumors."""

LOCAL_SIMULATIONS, PARTICLES, SIMULATIONS_PER_ROUND, ROUNDS = 1200, 2048, 1000, 4
_PANEL = "Refinement"


@dataclass(frozen=True)
class RefinementContext:
    """What refinement needs besides its own options.

    Args:
        folder: Folder of the results, where an interrupted run finds how far it came.
        search_thresholds: Whether the densities at the outlines are estimated, too.
        device: Device that a surrogate runs on.
    """

    folder: Path
    search_thresholds: bool = True
    device: str = "cpu"


def _space() -> SimulationSpace:
    found: SimulationSpace = option(
        default="patient",
        description="Where it simulates: the atlas's tissue carried to the patient, or the atlas.",
        panel=_PANEL,
    )
    return found


def _surrogate() -> Path | None:
    found: Path | None = option(
        default=None,
        description="Network that stands in for the solver: a file of `gliodex train surrogate`, or small, which is "
        "included.",
        panel=_PANEL,
        metavar="FILE",
        local=True,
    )
    return found


@declared()
class NoRefinement:
    """The best match is the answer."""

    method: Literal["none"] = "none"

    def stage(self, context: RefinementContext) -> Refinement | None:
        """Nothing."""
        return None


@declared()
class Local:
    """A local search (CMA-ES) around the best matches for the tumor that fits best."""

    method: Literal["local"] = "local"
    simulation_space: SimulationSpace = _space()
    max_simulations: int = option(
        default=LOCAL_SIMULATIONS, description="Simulations at most.", panel=_PANEL, ge=1, le=1_000_000
    )

    def stage(self, context: RefinementContext) -> Refinement:
        """Make it ready to run."""
        from .local import LocalSettings
        from .local_refinement import LocalRefinement

        settings = LocalSettings(self.max_simulations)
        return LocalRefinement(settings, self.simulation_space, context.search_thresholds)


@declared()
class Tmcmc:
    """Posterior samples of growth and imaging by transitional MCMC (Ezhov et al. 2021)."""

    method: Literal["tmcmc"] = "tmcmc"
    simulation_space: SimulationSpace = _space()
    max_simulations: int | None = option(
        default=None, description="Simulations at most.", panel=_PANEL, ge=1, le=1_000_000
    )
    prior: PriorName = option(
        default="ezhov2021",
        description="Ranges of growth: ezhov2021, of Ezhov et al. (2021), or store.",
        panel=_PANEL,
        metavar="PRIOR",
    )
    init: Literal["prior", "matches"] = option(
        default="prior",
        description="Where it begins: anywhere in the prior, or around the matches, sooner done.",
        panel=_PANEL,
    )
    correlation_length_mm: float = option(
        default=0.0,
        description="Distance over which errors of the images are correlated, mm; 0: independent voxels.",
        panel=_PANEL,
        ge=0,
        le=100,
    )
    particles: int = option(default=PARTICLES, description="Samples of each stage.", panel=_PANEL, ge=1, le=1_000_000)
    chains: int = option(default=1, description="Independent runs; two or more give R-hat.", panel=_PANEL, ge=1, le=100)
    surrogate: Path | None = _surrogate()

    def stage(self, context: RefinementContext) -> Refinement:
        """Make it ready to run."""
        from ...learn.surrogate import named_surrogate
        from .checkpoint import NAME
        from .smc_settings import TransitionalSettings
        from .tmcmc_refinement import TransitionalRefinement

        return TransitionalRefinement(
            TransitionalSettings(self.particles, evaluations=self.max_simulations),
            self.simulation_space,
            self.prior,
            self.init == "matches",
            self.correlation_length_mm,
            self.chains,
            context.folder / NAME,
            named_surrogate(self.surrogate) if self.surrogate else None,
            context.device,
        )


@declared()
class Npe:
    """Neural posterior estimation in rounds of simulations (truncated, as in Deistler et al. 2022)."""

    method: Literal["npe"] = "npe"
    simulation_space: SimulationSpace = _space()
    simulations_per_round: int = option(
        default=SIMULATIONS_PER_ROUND, description="Simulations of each round.", panel=_PANEL, ge=1, le=1_000_000
    )
    rounds: int = option(default=ROUNDS, description="Rounds.", panel=_PANEL, ge=1, le=100)
    surrogate: Path | None = _surrogate()

    def stage(self, context: RefinementContext) -> Refinement:
        """Make it ready to run."""
        from ...learn.surrogate import named_surrogate
        from .npe_refinement import NeuralRefinement

        return NeuralRefinement(
            self.simulations_per_round,
            self.rounds,
            where=self.simulation_space,
            surrogate=named_surrogate(self.surrogate) if self.surrogate else None,
            device=context.device,
        )


@declared()
class Lmi:
    """The network of Learn-Morph-Infer (Ezhov et al. 2023), its prediction kept where it fits better than the match."""

    method: Literal["lmi"] = "lmi"
    simulation_space: SimulationSpace = _space()
    arch: Literal["small", "paper"] = option(
        default="small", description="Network, see `gliodex train lmi`.", panel=_PANEL
    )

    def stage(self, context: RefinementContext) -> Refinement:
        """Make it ready to run."""
        from .lmi_refinement import InferenceRefinement

        return InferenceRefinement(self.simulation_space, context.search_thresholds, self.arch)


RefinementOptions = NoRefinement | Local | Tmcmc | Npe | Lmi
"""Options of one method."""

METHODS: Mapping[str, type[Any]] = {
    "none": NoRefinement,
    "local": Local,
    "tmcmc": Tmcmc,
    "npe": Npe,
    "lmi": Lmi,
}
"""By name."""
