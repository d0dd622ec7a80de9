"""A query as a user asks it: its options, and whether they go together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from ..errors import InputError
from ..index import check_search
from .imaging.alignment import Placement
from .imaging.patient import Patient
from .option_declaration import declared
from .options import FILES, PatientFiles, QueryOptions, split
from .refinement import Refinement
from .refinement.refinement_options import NoRefinement, RefinementContext, RefinementOptions


@declared(kw_only=False)
class QueryRequest(QueryOptions, PatientFiles):
    """A query from files to files.

    Args:
        store: Path of the store; `PATH@VERSION` is an older version.
        out: Folder for the results.
        refinement: Refinement method with its options.
        options: See `retrieval.options`.

    Raises:
        InputError: A value cannot be used.
    """

    store: str
    out: Path
    refinement: RefinementOptions = Field(default_factory=NoRefinement, discriminator="method", kw_only=True)

    @classmethod
    def of(cls, store: str, out: Path, given: Mapping[str, Any]) -> Self:
        """Make a query of options as faces have them, those of refinement beside the others (`options.FLAT`).

        Raises:
            InputError: An option is not known, does not belong to the method, or has a value that cannot be used.
        """
        return cls(store, out, **split(given))

    @property
    def search_thresholds(self) -> bool:
        """Whether retrieval finds the thresholds, too."""
        if self.thresholds is None:
            plain = self.index == self.metric == "dice" and self.scheduler is None
            return self.refinement.method == "lmi" and plain
        return self.thresholds == "search"

    @property
    def placement(self) -> Placement:
        """How the patient lies in the atlas.

        Raises:
            InputError: that is not said, or said twice.
        """
        own = self.wm is not None and self.space is None and self.transform is None
        registered = self.t1 is not None or self.t1c is not None or own
        return Placement(
            registered,
            self.space,
            self.transform,
            self.registration,
            self.registration_seed,
            self.threads,
            self.strip,
            self.n4,
        )

    def read_patient(self) -> Patient:
        """Read the files that are named.

        Raises:
            InputError: as `Patient.from_files`.
        """
        return Patient.from_files(
            **{name: getattr(self, name) for name in FILES},
            core_labels=self.core_labels,
            whole_labels=self.whole_labels,
            labels=self.labels,
            reorient=self.reorient,
        )

    @property
    def exact(self) -> bool:
        """Whether it is ranked by exact Dice at the store's thresholds."""
        return self.index == self.metric == "dice" and not self.search_thresholds

    def as_record(self) -> dict[str, object]:
        """How it searches, as plain values."""
        settings: dict[str, object] = {
            "index": self.index,
            "metric": self.metric,
            "faiss_index": self.faiss_index,
            "device": self.device,
            "rerank": self.rerank,
            "thresholds": "search" if self.search_thresholds else "fixed",
            "top_k": self.top_k,
            "one_per_simulation": self.one_per_simulation,
            "include_folded": self.include_folded,
            "refine": self.refinement.method,
        }
        if self.t1 is not None or self.t1c is not None:
            settings |= {"registration": self.registration, "strip": self.strip, "n4": self.n4}
        return settings


def check_options(request: QueryRequest) -> Refinement | None:
    """Check what can be checked of a request without reading a file.

    Returns:
        The stage after retrieval that is asked for.

    Raises:
        InputError: options that are out of range or do not go together.
    """
    _check_search(request)
    masks = request.core_mask, request.whole_mask
    if (request.seg is None) == (masks == (None, None)):
        raise InputError("give either ‹seg›, or ‹core_mask› and ‹whole_mask›")
    if request.seg is None and None in masks:
        raise InputError("give both ‹core_mask› and ‹whole_mask›")
    named = request.core_labels, request.whole_labels, request.labels
    if request.seg is None and any(one is not None for one in named):
        raise InputError("‹labels›, ‹core_labels› and ‹whole_labels› are of ‹seg›: with separate masks leave them out")
    if request.labels is not None and (request.core_labels is not None or request.whole_labels is not None):
        raise InputError("give ‹labels›, or ‹core_labels› and ‹whole_labels›: both say what the labels mean")
    without_image = request.t1 is None and request.t1c is None
    if without_image and (request.reorient is not None or request.seg_on is not None or request.n4):
        raise InputError(
            "‹reorient›, ‹seg_on› and ‹n4› are for an image that is registered",
            hint="give ‹t1› or ‹t1c›",
        )
    if (request.out / "manifests").is_dir():
        raise InputError(f"{request.out} is a store", hint="give another folder for the results with ‹out›")
    if (request.wm is None) != (request.gm is None):
        raise InputError("give both ‹wm› and ‹gm›, or neither")
    if request.pet is not None and request.refinement.method != "tmcmc":
        raise InputError("‹pet› is for ‹refine=tmcmc›: the other stages compare outlines alone")
    _ = request.placement
    return request.refinement.stage(RefinementContext(request.out, request.thresholds != "fixed", request.device))


def _check_search(request: QueryRequest) -> None:
    check_search(
        request.index,
        request.metric,
        request.rerank,
        request.search_thresholds,
        request.faiss_index,
        request.device,
    )
    if request.scheduler is not None and not request.exact:
        raise InputError(
            "a cluster searches by exact Dice alone",
            hint="leave out ‹scheduler›, or ‹index›, ‹metric› and ‹thresholds›",
        )
