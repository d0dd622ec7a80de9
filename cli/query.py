"""`gliodex query`."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..retrieval.imaging.choices import Method as RegistrationMethod
from ..retrieval.imaging.choices import Space, labels_of
from ..retrieval.imaging.conventions import CONVENTIONS
from .answers import show, show_several
from .build import Device
from .console import stages
from .stores import Engine, Method
from .train_lmi import Arch


class Measure(StrEnum):
    """What is ranked by: `MEASURES`, or of the best candidates `RANKINGS`."""

    dice = "dice"
    jaccard = "jaccard"
    l2 = "l2"
    hausdorff = "hausdorff"
    bernoulli = "bernoulli"


class Thresholds(StrEnum):
    """Densities at which MRI shows the outlines."""

    fixed = "fixed"
    search = "search"


class Refinement(StrEnum):
    """Stages after retrieval."""

    none = "none"
    local = "local"
    tmcmc = "tmcmc"
    npe = "npe"
    lmi = "lmi"


class Strip(StrEnum):
    """Whether and how to remove the skull."""

    auto = "auto"
    off = "off"
    deepbet = "deepbet"
    registration = "registration"


class PriorOf(StrEnum):
    """Whose ranges of growth."""

    paper = "paper"
    store = "store"


class Anatomy(StrEnum):
    """Where refinement simulates."""

    patient = "patient"
    atlas = "atlas"


_patient, _place, _search, _stage = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("The patient", "How the patient lies in the atlas", "The search", "After retrieval")
)


def query(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Folder of the store; STORE@3 is its version 3. Several of one atlas, such as of both growth models, "
            "are compared.",
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    seg: Annotated[
        Path | None,
        _patient(help="Segmentation: NIfTI, NRRD (.seg.nrrd), MetaImage, MGZ, DICOM-SEG, or channels of one."),
    ] = None,
    labels: Annotated[
        str | None,
        _patient(metavar="NAME", help=f"What its labels mean: {', '.join(CONVENTIONS)}. (default: found out)"),
    ] = None,
    core: Annotated[
        str | None,
        _patient(metavar="LABELS", help="Labels of the T1Gd core, numbers or names, instead; `none` for no core."),
    ] = None,
    whole: Annotated[
        str | None, _patient(metavar="LABELS", help="Labels of the whole (FLAIR) tumour, with --core.")
    ] = None,
    core_mask: Annotated[Path | None, _patient(help="Core mask, instead of --seg.")] = None,
    whole_mask: Annotated[Path | None, _patient(help="Whole-tumour mask, instead of --seg.")] = None,
    t1: Annotated[
        Path | None,
        _place(help="T1 to register to the atlas, a file or a DICOM folder. Its header says which side is left."),
    ] = None,
    t1c: Annotated[
        Path | None, _place(help="T1 with contrast, registered if there is no T1; its brightness distinguishes labels.")
    ] = None,
    seg_on: Annotated[
        Path | None, _place(help="Scan that --seg was drawn on, if not the T1: both are brought together.")
    ] = None,
    strip: Annotated[
        Strip, _place(help="Remove the skull: if there is one; never; with deepbet's network; by registration.")
    ] = Strip.auto,
    n4: Annotated[bool, _place("--n4", help="Even out the brightness of the T1 first (N4).")] = False,
    reorient: Annotated[
        str | None,
        _place(metavar="CODE", help="Directions of the T1's voxel axes, such as LPS, whatever the headers say."),
    ] = None,
    white: Annotated[
        Path | None,
        _patient(help="Map of the patient's own white matter, with --grey: refinement simulates there."),
    ] = None,
    grey: Annotated[Path | None, _patient(help="Map of grey matter, filled in under the tumour.")] = None,
    pet: Annotated[
        Path | None, _patient(help="FET-PET from 0 to 1 on the segmentation's grid, 0 where unknown (tmcmc).")
    ] = None,
    space: Annotated[
        Space | None,
        _place(
            help="Space of the segmentation, if there is no MRI: BraTS cases of adults are in sri24 up to 2023, in "
            "mni152 since."
        ),
    ] = None,
    transform: Annotated[Path | None, _place(help="`transform` folder of an earlier query, to reuse it.")] = None,
    registration: Annotated[RegistrationMethod, _place(help="fast; syn: the papers' settings; affine.")] = "fast",
    registration_seed: Annotated[int, _place(help="Seed of the registration.")] = 1,
    threads: Annotated[int | None, _place(help="Threads of the registration; all cores by default.")] = None,
    method: Annotated[
        Method, _search(metavar="METHOD", help=f"Way of searching: {', '.join(Method)}. dice is exact.")
    ] = Method.dice,
    measure: Annotated[
        Measure,
        _search(
            metavar="MEASURE",
            help=f"What is ranked by, summed over core and whole: {', '.join(Measure)}. hausdorff (95 %) and bernoulli "
            "rank only the best by Dice, or by --method.",
        ),
    ] = Measure.dice,
    thresholds: Annotated[
        Thresholds | None,
        _search(
            help="fixed: the store's; search: find the tumour and both thresholds together. (default: search for "
            "--refine lmi, else fixed; refinement estimates them again unless fixed is given)",
            show_default=False,
        ),
    ] = None,
    folded: Annotated[
        bool,
        _search("--folded", help="Find tumours that have folded the tissue, too; of stores with mass effect."),
    ] = False,
    rerank: Annotated[
        int,
        _search(
            metavar="N",
            help="Put the N best of --method in the order of their exact Dice, or of --measure. (default: 0, for "
            "hausdorff and bernoulli 200)",
            show_default=False,
        ),
    ] = 0,
    engine: Annotated[
        Engine, _search(help="FAISS index for ae and vae: flat (exhaustive), ivf or hnsw.")
    ] = Engine.flat,
    device: Annotated[Device, _search(help="Where ae, vae and hash search, and a surrogate runs.")] = Device.cpu,
    top_k: Annotated[int, _search(help="How many matches to list.")] = 15,
    distinct: Annotated[
        bool, _search("--distinct", help="List no more than the best tumour of each simulation.")
    ] = False,
    scheduler: Annotated[
        str | None,
        _search(metavar="tcp://...", help="Dask cluster that searches; its workers must see STORE."),
    ] = None,
    refine: Annotated[
        Refinement,
        _stage(
            help="Stage after retrieval. local: simulate around the best matches until one fits better; tmcmc: draw "
            "from the posterior of growth and imaging by Markov chains; npe: learn the posterior from simulations; "
            "lmi: ask a trained network, and keep what it tells if it fits better than the best match."
        ),
    ] = Refinement.none,
    refine_in: Annotated[
        Anatomy, _stage(help="Where it simulates: the atlas's tissue carried to the patient, or the atlas.")
    ] = Anatomy.patient,
    evaluations: Annotated[
        int | None,
        _stage(help="Simulations of --refine at most. (default: local 1200, tmcmc any)", show_default=False),
    ] = None,
    prior: Annotated[
        PriorOf | None,
        _stage(
            help="Ranges of growth of tmcmc: of Ezhov et al. (2021) or of the store. (default: paper)",
            show_default=False,
        ),
    ] = None,
    around_matches: Annotated[
        bool, _stage("--around-matches", help="Begin tmcmc around the matches; same posterior, sooner.")
    ] = False,
    alike_mm: Annotated[
        float | None,
        _stage(
            help="mm over which images err alike (tmcmc); 0: independent voxels (Ezhov et al. 2021). (default: 0)",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int | None, _stage(help="Samples of each stage of tmcmc. (default: 2048)", show_default=False)
    ] = None,
    repeats: Annotated[
        int | None, _stage(help="Independent runs of tmcmc; two or more tell R-hat.", show_default=False)
    ] = None,
    simulations: Annotated[
        int | None, _stage(help="Simulations of each round of npe. (default: 1000)", show_default=False)
    ] = None,
    rounds: Annotated[int | None, _stage(help="Rounds of npe. (default: 4)", show_default=False)] = None,
    arch: Annotated[
        Arch | None, _stage(help="Network of lmi, see `gliodex train lmi`. (default: small)", show_default=False)
    ] = None,
    surrogate: Annotated[
        Path | None,
        _stage(
            metavar="FILE",
            help="Network in the solver's place (tmcmc, npe): of `gliodex train surrogate`, or small, which is here.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[bool, _stage(help="Add what --refine found to STORE, unless a version is named (STORE@3).")] = True,
) -> None:
    """Find the simulated tumour that resembles a patient's most, and bring it to the patient."""
    from ..retrieval import QueryRequest, run_queries, run_query
    from ..retrieval.refinement import StageChoice

    request = QueryRequest(
        stores[0],
        out_folder,
        seg=seg,
        core_mask=core_mask,
        whole_mask=whole_mask,
        core=labels_of("core", core),
        whole=labels_of("whole", whole),
        labels=labels,
        seg_on=seg_on,
        t1=t1,
        t1c=t1c,
        strip=strip.value,
        bias=n4,
        reorient=reorient,
        white=white,
        grey=grey,
        pet=pet,
        space=space,
        transform=transform,
        registration=registration,
        top_k=top_k,
        seed=registration_seed,
        threads=threads,
        distinct=distinct,
        scheduler=scheduler,
        method=method.value,
        measure=measure.value,
        rerank=rerank,
        thresholds=thresholds.value if thresholds else None,
        engine=engine.value,
        device=device.value,
        stage=StageChoice(
            refine.value,
            refine_in.value,
            evaluations,
            prior.value if prior else None,
            around_matches,
            alike_mm,
            samples,
            repeats,
            simulations,
            rounds,
            arch.value if arch else None,
            surrogate,
            device.value,
        ),
        keep=keep,
        folded=folded,
    )
    if len(stores) == 1:
        with stages() as announce:
            _, record = run_query(request, announce)
        show(record, out_folder)
        return
    with stages() as announce:
        compared, records = run_queries(request, stores, announce)
    show_several(compared, records, out_folder)
