"""One query from beginning to end: files in, files out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..index import Retriever, check_search, cluster_index, open_retriever
from ..store.nifti import Image, load_image
from ..store.reader import TumorStore, open_store
from .answer import Answer, Stopwatch, answer
from .ants_map import AntsMap, Method
from .expectation import least_expected
from .outputs import as_record, posterior_record, staged_folder, write_images, write_record
from .placement import Placement
from .refinement import Refinement, StageChoice, keep
from .refinement.imaging import check_pet
from .segmentation import Segmentation, from_files
from .spaces import Space
from .tissue import Tissue, load_tissue


@dataclass(frozen=True)
class QueryRequest:
    """What a user asks for; the fields are the options of `gliodex query`.

    Args:
        store: path of the store, `PATH@VERSION` for an older version.
        out: folder for the results.
        seg: label map; or give both masks instead.
        core_mask, whole_mask: two separate masks.
        core, whole: labels of each mask in `seg`.
        image: skull-stripped T1 or T1c to register.
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
    core: tuple[int, ...] | None = None
    whole: tuple[int, ...] | None = None
    image: Path | None = None
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
        registered = self.image is not None or own
        return Placement(registered, self.space, self.transform, self.registration, self.seed, self.threads)


def run_query(request: QueryRequest, announce: Callable[[str], None] | None = None) -> tuple[Answer, dict[str, object]]:
    """Answer a query and write its files: matches.json, images, report, and the transform if one was made.

    Args:
        request: what to do.
        announce: told of each stage as it begins.

    Returns:
        The answer and the content of matches.json.

    Raises:
        GliodexError: anything the user can mend; nothing is written then.
    """
    watch = Stopwatch(announce)
    refinement = check_options(request)
    with watch.stage("read"):
        segmentation = from_files(request.seg, (request.core_mask, request.whole_mask), request.core, request.whole)
        image = load_image(request.image) if request.image else None
        tissue = _tissue(request)
        pet = _pet(request, segmentation)
        store = open_store(request.store)
        store = store.with_folded() if request.folded else store
        _ = store.atlas
    with staged_folder(request.out) as folder:
        with watch.stage("registration"):
            shown = tissue.picture() if image is None and tissue is not None else image
            spatial = request.placement.map_to(store.atlas, segmentation, shown, folder)
        with ExitStack() as opened:
            with watch.stage("open index"):
                retriever: Retriever = (
                    opened.enter_context(cluster_index(store, request.scheduler))
                    if request.scheduler
                    else open_retriever(
                        store,
                        request.method,
                        measure=request.measure,
                        rerank=request.rerank,
                        search_thresholds=request.search_thresholds,
                        engine=request.engine,
                        device=request.device,
                        progress=announce and _making_of(announce),
                    )
                )
            found = answer(
                store,
                retriever,
                segmentation,
                spatial,
                top_k=request.top_k,
                distinct=request.distinct,
                refinement=refinement,
                pet=pet,
                tissue=tissue,
                watch=watch,
            )
            if found.before is not None and _exact(request):
                with watch.stage("expectation"):
                    found = _judged(found, store, retriever)
        with watch.stage("write images"):
            maps = write_images(found, store, folder)
        if found.before is not None and request.keep and not store.pinned:
            with watch.stage("keep"):
                found = _kept(found, store)
        record = as_record(found, store, _settings(request), watch.seconds)
        with watch.stage("report"):
            from .report import write_report  # matplotlib takes a second to import

            background, anatomy = background_of(found, shown, store)
            write_report(found, record, background, anatomy, maps, folder)
        record["seconds"] = {name: round(value, 3) for name, value in watch.seconds.items()}
        write_record(posterior_record(found.posterior), folder, "posterior")
        write_record(record, folder)
    if isinstance(spatial, AntsMap) and request.transform is None:
        spatial.folder = request.out / "transform"  # where it has just moved
    return found, record


def _judged(found: Answer, store: TumorStore, retriever: Retriever) -> Answer:
    """Warn where the best match is worse than those of tumours of the prior are."""
    expected, score = least_expected(store, retriever), float(found.hits.scores[0])
    if expected is None or score >= expected:
        return found
    doubt = (
        f"no tumour of the prior explains these masks well: the best match's Dice sum is {score:.2f}, and of simulated "
        f"tumours 99 % reach {expected:.2f}. What was refined fits as this growth model can"
    )
    return replace(found, warnings=(*found.warnings, doubt))


def _kept(found: Answer, store: TumorStore) -> Answer:
    ids, doubt = keep(store, found.posterior, found.spatial)
    return replace(found, kept=tuple(ids), warnings=(*found.warnings, *([doubt] if doubt else [])))


def _making_of(announce: Callable[[str], None]) -> Callable[[int, int], None]:
    return lambda done, total: announce(f"making the index: {done:,} of {total:,} tumours")


def check_options(request: QueryRequest) -> Refinement | None:
    """Check what can be checked of a request without reading a file.

    Returns:
        The stage after retrieval that is asked for.

    Raises:
        InputError: options that are out of range or do not go together.
    """
    if request.top_k < 1:
        raise InputError(f"--top-k must be at least 1, not {request.top_k}")
    _check_search(request)
    masks = request.core_mask, request.whole_mask
    if (request.seg is None) == (masks == (None, None)):
        raise InputError("give either --seg, or --core-mask and --whole-mask")
    if request.seg is None and None in masks:
        raise InputError("give both --core-mask and --whole-mask")
    if request.seg is None and (request.core is not None or request.whole is not None):
        raise InputError("--core and --whole name labels of --seg: with separate masks leave them out")
    if (request.out / "manifests").is_dir():
        raise InputError(f"{request.out} is a store: give another folder for the results with --out")
    if (request.white is None) != (request.grey is None):
        raise InputError("give both --white and --grey, or neither")
    if request.pet is not None and request.stage.name != "tmcmc":
        raise InputError("--pet is for --refine tmcmc: the other stages compare outlines alone")
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
    if request.scheduler is not None and not _exact(request):
        raise InputError(
            "a cluster searches by exact Dice alone: leave out --scheduler, or --method, --measure and --thresholds"
        )


def _exact(request: QueryRequest) -> bool:
    return request.method == request.measure == "dice" and not request.search_thresholds


def _tissue(request: QueryRequest) -> Tissue | None:
    if request.white is None or request.grey is None:
        return None
    return load_tissue(request.white, request.grey)


def _pet(request: QueryRequest, segmentation: Segmentation) -> NDArray[np.float32] | None:
    if request.pet is None:
        return None
    image = load_image(request.pet)
    if not image.frame.same_as(segmentation.frame):
        raise InputError(f"{request.pet} is not on the segmentation's grid: resample it there first")
    values = np.asarray(image.data, np.float32)
    check_pet(values, str(request.pet))
    return values


def background_of(found: Answer, image: Image | None, store: TumorStore) -> tuple[NDArray[np.float32], str]:
    """Find what an answer can be shown on: the patient's MRI, or else the atlas's, on the segmentation's grid.

    Returns:
        The image, and what it is in words.
    """
    grid = found.segmentation.frame
    if image is None:
        return found.spatial.to_patient(store.atlas.t1, store.frame, grid), "the atlas's T1, as no MRI was given"
    if image.frame.same_as(grid):
        return np.asarray(image.data, dtype=np.float32), f"the patient's {image.path.name}"
    return grid.resample(image.data, image.frame), f"the patient's {image.path.name}"


def _settings(request: QueryRequest) -> dict[str, object]:
    settings: dict[str, object] = {
        "method": request.method,
        "measure": request.measure,
        "engine": request.engine,
        "device": request.device,
        "rerank": request.rerank,
        "thresholds": "search" if request.search_thresholds else "fixed",
        "top_k": request.top_k,
        "distinct": request.distinct,
        "refine": request.stage.name,
    }
    if request.image is not None:
        settings["registration"] = request.registration
    return settings
