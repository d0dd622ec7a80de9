"""What a client asks for, between a form, a file, and a `QueryRequest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field

from ..retrieval.imaging.choices import Method as Registration
from ..retrieval.imaging.choices import Space, Strip, labels_of
from ..retrieval.imaging.conventions import CONVENTIONS
from ..retrieval.refinement import StageChoice
from ..retrieval.request import QueryRequest

Method = Literal["dice", "ds64", "ds32", "ae", "vae", "hash", "radiomics", "radiomics-standardised"]
Measure = Literal["dice", "jaccard", "l2", "hausdorff", "bernoulli"]


class Options(BaseModel):
    """Options of a query; those of `gliodex query`, with _ for -."""

    model_config = ConfigDict(extra="forbid")

    store: str | None = Field(None, description="Name of the store; may be left out where there is one.")
    labels: str | None = Field(
        None,
        description=f"What the labels mean: {', '.join(CONVENTIONS)}; found out where left out.",
        examples=["brats"],
    )
    core: str | None = Field(None, description="Labels of the core, e.g. 1,4; `none` for no core.", examples=["1,4"])
    whole: str | None = Field(None, description="Labels of the whole tumour.", examples=["1,2,4"])
    space: Space | None = Field(
        None, description="Space of the segmentation, where there is no MRI.", examples=["sri24"]
    )
    registration: Registration = Field("fast", description="How an MRI is registered.")
    strip: Strip = Field("auto", description="Whether and how the skull is removed.")
    n4: bool = Field(False, description="Even out the brightness of the MRI first (N4).")
    reorient: str | None = Field(
        None,
        description="Directions of the MRI's voxel axes, whatever the headers say.",
        pattern="^[RLAPSIrlapsi]{3}$",
        examples=["LPS"],
    )
    top_k: int = Field(15, ge=1, le=1000, description="How many matches to list.")
    distinct: bool = Field(False, description="No more than the best tumour of each simulation.")
    folded: bool = Field(False, description="Find tumours that have folded the tissue, too.")
    method: Method = Field("dice", description="Way of searching.")
    measure: Measure = Field("dice", description="What is ranked by, summed over core and whole.")
    rerank: int = Field(0, ge=0, le=100_000, description="Put so many in the order of their exact Dice.")
    thresholds: Literal["fixed", "search"] | None = Field(None, description="Find both thresholds, too.")
    refine: Literal["none", "local", "tmcmc", "npe", "lmi"] = Field("none", description="Stage after retrieval.")
    refine_in: Literal["patient", "atlas"] = Field("patient", description="Where it simulates.")
    evaluations: int | None = Field(None, ge=1, le=1_000_000, description="Simulations of it at most.")
    prior: Literal["paper", "store"] | None = Field(None, description="Ranges of growth of tmcmc.")
    around_matches: bool = Field(False, description="Begin tmcmc around the matches.")
    alike_mm: float | None = Field(None, ge=0, le=100, description="mm over which images err alike (tmcmc).")
    samples: int | None = Field(None, ge=1, le=1_000_000, description="Samples of each stage of tmcmc.")
    simulations: int | None = Field(None, ge=1, le=1_000_000, description="Simulations of each round of npe.")
    rounds: int | None = Field(None, ge=1, le=100, description="Rounds of npe.")


class QueryForm(Options):
    """A query: one segmentation or two masks, what places them, and options."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    segmentation: UploadFile | None = Field(
        None, description="Label map, channels, or DICOM-SEG; a data set in its file name tells what labels mean."
    )
    core_mask: UploadFile | None = Field(None, description="Core mask, instead; with whole_mask.")
    whole_mask: UploadFile | None = Field(None, description="Whole-tumour mask.")
    t1: UploadFile | None = Field(None, description="T1 to register to the atlas; a DICOM series as a zip.")
    t1c: UploadFile | None = Field(None, description="T1 with contrast; its brightness also distinguishes labels.")
    seg_on: UploadFile | None = Field(None, description="Scan that the segmentation was drawn on, if not the T1.")
    white: UploadFile | None = Field(None, description="Map of the patient's own white matter.")
    grey: UploadFile | None = Field(None, description="Map of grey matter, with it.")
    pet: UploadFile | None = Field(None, description="FET-PET from 0 to 1 (tmcmc).")


FILES = tuple(name for name in QueryForm.model_fields if name not in Options.model_fields)
"""Fields of a query that are files."""


def request_of(asked: dict[str, Any], folder: Path, store: str, out: Path) -> QueryRequest:
    """Make the request that `run_query` takes.

    Args:
        asked: `options`, and under `files` the file of each field.
        folder: where these files are.
        store: path of the store, with a version.
        out: folder for the results.

    Raises:
        InputError: labels that are none.
    """
    options, files = Options(**asked["options"]), {field: folder / name for field, name in asked["files"].items()}
    return QueryRequest(
        store,
        out,
        seg=files.get("segmentation"),
        core_mask=files.get("core_mask"),
        whole_mask=files.get("whole_mask"),
        core=labels_of("core", options.core),
        whole=labels_of("whole", options.whole),
        labels=options.labels,
        seg_on=files.get("seg_on"),
        t1=files.get("t1"),
        t1c=files.get("t1c"),
        strip=options.strip,
        bias=options.n4,
        reorient=options.reorient,
        white=files.get("white"),
        grey=files.get("grey"),
        pet=files.get("pet"),
        space=options.space,
        registration=options.registration,
        top_k=options.top_k,
        distinct=options.distinct,
        method=options.method,
        measure=options.measure,
        rerank=options.rerank,
        thresholds=options.thresholds,
        folded=options.folded,
        stage=StageChoice(
            options.refine,
            options.refine_in,
            options.evaluations,
            options.prior,
            options.around_matches,
            options.alike_mm,
            options.samples,
            simulations=options.simulations,
            rounds=options.rounds,
        ),
        keep=False,
    )
