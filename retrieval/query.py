"""Queries from beginning to end: files in, files out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..index import Retriever, cluster_index, open_retriever
from ..store.nifti import Image, load_image
from ..store.reader import TumorStore, open_store
from .answer import Answer, Stopwatch, answer
from .expectation import least_expected
from .imaging.ants_map import AntsMap
from .imaging.segmentation import Segmentation, from_files
from .imaging.tissue import Tissue, load_tissue
from .imaging.transforms import SpatialMap
from .outputs import as_record, posterior_record, staged_folder, write_images, write_record
from .refinement import Refinement, keep
from .refinement.imaging import check_pet
from .request import QueryRequest, check_options

Announce = Callable[[str], None]


def run_query(request: QueryRequest, announce: Announce | None = None) -> tuple[Answer, dict[str, object]]:
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
        case, store = Case.read(request), store_of(request)
        if refinement:
            refinement.check(store)
    with staged_folder(request.out) as folder:
        with watch.stage("registration"):
            spatial = case.placed(request, store, folder)
        found, record = write_answer(request, case, store, spatial, refinement, folder, watch)
    settle(spatial, request)
    return found, record


@dataclass(frozen=True)
class Case:
    """What is read of a patient, whichever store is asked.

    Args:
        segmentation: of the tumour.
        image: MRI to register and show.
        tissue: the patient's own.
        pet: on the segmentation's grid.
    """

    segmentation: Segmentation
    image: Image | None
    tissue: Tissue | None
    pet: NDArray[np.float32] | None

    @classmethod
    def read(cls, request: QueryRequest) -> Case:
        """Read the files that a request names.

        Raises:
            InputError: one cannot be used.
        """
        masks = request.core_mask, request.whole_mask
        segmentation = from_files(request.seg, masks, request.core, request.whole)
        image = load_image(request.image) if request.image else None
        tissue = load_tissue(request.white, request.grey) if request.white and request.grey else None
        return cls(segmentation, image, tissue, _pet(request, segmentation))

    @property
    def shown(self) -> Image | None:
        """Image of the head, or a picture made of the tissue."""
        return self.tissue.picture() if self.image is None and self.tissue is not None else self.image

    def placed(self, request: QueryRequest, store: TumorStore, folder: Path) -> SpatialMap:
        """Find how it lies in a store's atlas; a registration leaves its `transform` in the folder.

        Raises:
            InputError: as `Placement.map_to`.
        """
        return request.placement.map_to(store.atlas, self.segmentation, self.shown, folder)


def store_of(request: QueryRequest) -> TumorStore:
    """Open the store that is asked, and its atlas.

    Raises:
        GliodexError: it cannot be opened.
    """
    store = open_store(request.store)
    store = store.with_folded() if request.folded else store
    _ = store.atlas
    return store


def write_answer(
    request: QueryRequest,
    case: Case,
    store: TumorStore,
    spatial: SpatialMap,
    refinement: Refinement | None,
    folder: Path,
    watch: Stopwatch,
) -> tuple[Answer, dict[str, object]]:
    """Search, refine, and write what was found.

    Args:
        request: what to do.
        case: the patient.
        store: to search.
        spatial: how the patient lies in its atlas.
        refinement: stage after retrieval.
        folder: for the files.
        watch: times the stages.

    Returns:
        As `run_query`.

    Raises:
        GliodexError: anything the user can mend.
    """
    with ExitStack() as opened:
        with watch.stage("open index"):
            retriever = opened.enter_context(_retriever(request, store, watch))
        found = answer(
            store,
            retriever,
            case.segmentation,
            spatial,
            top_k=request.top_k,
            distinct=request.distinct,
            refinement=refinement,
            pet=case.pet,
            tissue=case.tissue,
            watch=watch,
        )
        if found.before is not None and request.exact:
            with watch.stage("expectation"):
                found = _judged(found, store, retriever)
    with watch.stage("write images"):
        maps = write_images(found, store, folder)
    if found.before is not None and request.keep and not store.pinned:
        with watch.stage("keep"):
            found = _kept(found, store)
    record = as_record(found, store, request.as_record(), watch.seconds)
    with watch.stage("report"):
        from .report import write_report  # matplotlib takes a second to import

        background, anatomy = background_of(found, case.shown, store)
        write_report(found, record, background, anatomy, maps, folder)
    record["seconds"] = {name: round(value, 3) for name, value in watch.seconds.items()}
    write_record(posterior_record(found.posterior), folder, "posterior")
    write_record(record, folder)
    return found, record


def settle(spatial: SpatialMap, request: QueryRequest) -> None:
    """Tell a registration where its files lie once the results are complete."""
    if isinstance(spatial, AntsMap) and request.transform is None:
        spatial.folder = request.out / "transform"


def _retriever(request: QueryRequest, store: TumorStore, watch: Stopwatch) -> AbstractContextManager[Retriever]:
    if request.scheduler:
        return cluster_index(store, request.scheduler)
    tell = watch.progress("making the index")
    return nullcontext(
        open_retriever(
            store,
            request.method,
            measure=request.measure,
            rerank=request.rerank,
            search_thresholds=request.search_thresholds,
            engine=request.engine,
            device=request.device,
            progress=lambda done, total: tell(f"{done:,} of {total:,} tumours"),
        )
    )


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
