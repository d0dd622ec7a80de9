"""What a user asks of a store: the options of a query, and whether they go together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..errors import InputError
from ..index import check_search
from .imaging.choices import Labels, Method, Space, Strip
from .imaging.patient import Patient
from .imaging.placement import Placement
from .refinement import Refinement, StageChoice


@dataclass(frozen=True)
class QueryRequest:
    """What a user asks for; the fields are the options of `gliodex query`.

    Args:
        store: path of the store, `PATH@VERSION` for an older version.
        out: folder for the results.
        seg: label map; or give both masks instead.
        core_mask, whole_mask: two separate masks.
        core, whole: labels of each mask in `seg`.
        labels: name of the convention of the labels in `seg`, one of `CONVENTIONS`.
        seg_on: scan that `seg` was drawn on, where that is not the T1.
        t1: T1 to register.
        t1c: T1 with contrast: registered where there is no T1; tells labels apart by brightness.
        strip: whether and how to remove the skull.
        bias: remove slow changes of brightness before the registration (N4).
        reorient: directions of the voxel axes of the image, whatever the headers say.
        white, grey: maps of the patient's own tissue, to simulate in; registered where there is no image.
        pet: FET-PET on the segmentation's grid, in [0, 1], 0 where it is not known.
        space: known space of the segmentation, instead of an image.
        transform: `transform` folder of an earlier query, instead of either.
        registration: how to register.
        top_k: matches to list.
        seed, threads: of the registration.
        distinct: list no more than the best tumour of each simulation.
        scheduler: address of a Dask scheduler whose workers search.
        method: way of searching, one of `index.METHODS`.
        measure: of exact search, one of `index.MEASURES`.
        rerank: candidates of a method other than exact search to put in the order of their Dice.
        thresholds: "search" finds them too, by exact Dice; "fixed" takes the store's, in refinement too. By default
            only refinement finds them; before lmi, whose answer must be better than a match, exact search does too.
        engine, device: of encoders, see `open_retriever`.
        stage: after retrieval.
        keep: add what it found to the store, unless `store` names a version.
        folded: find tumours that have folded the tissue, too.
    """

    store: str
    out: Path
    seg: Path | None = None
    core_mask: Path | None = None
    whole_mask: Path | None = None
    core: Labels = None
    whole: Labels = None
    labels: str | None = None
    seg_on: Path | None = None
    t1: Path | None = None
    t1c: Path | None = None
    strip: Strip = "auto"
    bias: bool = False
    reorient: str | None = None
    white: Path | None = None
    grey: Path | None = None
    pet: Path | None = None
    space: Space | None = None
    transform: Path | None = None
    registration: Method = "fast"
    top_k: int = 15
    seed: int = 1
    threads: int | None = None
    distinct: bool = False
    scheduler: str | None = None
    method: str = "dice"
    measure: str = "dice"
    rerank: int = 0
    thresholds: Literal["fixed", "search"] | None = None
    engine: str = "flat"
    device: str = "cpu"
    stage: StageChoice = field(default_factory=StageChoice)
    keep: bool = True
    folded: bool = False

    @property
    def search_thresholds(self) -> bool:
        """Whether retrieval finds the thresholds, too."""
        if self.thresholds is None:
            plain = self.method == self.measure == "dice" and self.scheduler is None
            return self.stage.name == "lmi" and plain
        return self.thresholds == "search"

    @property
    def placement(self) -> Placement:
        """How the patient lies in the atlas.

        Raises:
            InputError: that is not said, or said twice.
        """
        own = self.white is not None and self.space is None and self.transform is None
        registered = self.t1 is not None or self.t1c is not None or own
        return Placement(
            registered,
            self.space,
            self.transform,
            self.registration,
            self.seed,
            self.threads,
            self.strip,
            self.bias,
        )

    def read_patient(self) -> Patient:
        """Read the files that are named.

        Raises:
            InputError: as `Patient.from_files`.
        """
        return Patient.from_files(
            seg=self.seg,
            core_mask=self.core_mask,
            whole_mask=self.whole_mask,
            t1=self.t1,
            t1c=self.t1c,
            white=self.white,
            grey=self.grey,
            pet=self.pet,
            seg_on=self.seg_on,
            core=self.core,
            whole=self.whole,
            labels=self.labels,
            reorient=self.reorient,
        )

    @property
    def exact(self) -> bool:
        """Whether it is ranked by exact Dice at the store's thresholds."""
        return self.method == self.measure == "dice" and not self.search_thresholds

    def as_record(self) -> dict[str, object]:
        """How it searches, as plain values."""
        settings: dict[str, object] = {
            "method": self.method,
            "measure": self.measure,
            "engine": self.engine,
            "device": self.device,
            "rerank": self.rerank,
            "thresholds": "search" if self.search_thresholds else "fixed",
            "top_k": self.top_k,
            "distinct": self.distinct,
            "folded": self.folded,
            "refine": self.stage.name,
        }
        if self.t1 is not None or self.t1c is not None:
            settings |= {"registration": self.registration, "strip": self.strip, "bias": self.bias}
        return settings


def check_options(request: QueryRequest) -> Refinement | None:
    """Check what can be checked of a request without reading a file.

    Returns:
        The stage after retrieval that is asked for.

    Raises:
        InputError: options that are out of range or do not go together.
    """
    if request.top_k < 1:
        raise InputError(f"‹top_k› must be at least 1, not {request.top_k}")
    _check_search(request)
    masks = request.core_mask, request.whole_mask
    if (request.seg is None) == (masks == (None, None)):
        raise InputError("give either ‹seg›, or ‹core_mask› and ‹whole_mask›")
    if request.seg is None and None in masks:
        raise InputError("give both ‹core_mask› and ‹whole_mask›")
    named = request.core, request.whole, request.labels
    if request.seg is None and any(one is not None for one in named):
        raise InputError("‹labels›, ‹core› and ‹whole› are of ‹seg›: with separate masks leave them out")
    if request.labels is not None and (request.core is not None or request.whole is not None):
        raise InputError("give ‹labels›, or ‹core› and ‹whole›: both say what the labels mean")
    without_image = request.t1 is None and request.t1c is None
    if without_image and (request.reorient is not None or request.seg_on is not None or request.bias):
        raise InputError(
            "‹reorient›, ‹seg_on› and ‹n4› are for an image that is registered",
            hint="give ‹t1› or ‹t1c›",
        )
    if (request.out / "manifests").is_dir():
        raise InputError(f"{request.out} is a store", hint="give another folder for the results with ‹out›")
    if (request.white is None) != (request.grey is None):
        raise InputError("give both ‹white› and ‹grey›, or neither")
    if request.pet is not None and request.stage.name != "tmcmc":
        raise InputError("‹pet› is for ‹refine=tmcmc›: the other stages compare outlines alone")
    _ = request.placement
    return replace(request.stage, search_thresholds=request.thresholds != "fixed").stage(request.out)


def _check_search(request: QueryRequest) -> None:
    check_search(
        request.method,
        request.measure,
        request.rerank,
        request.search_thresholds,
        request.engine,
        request.device,
    )
    if request.scheduler is not None and not request.exact:
        raise InputError(
            "a cluster searches by exact Dice alone",
            hint="leave out ‹scheduler›, or ‹method›, ‹measure› and ‹thresholds›",
        )
