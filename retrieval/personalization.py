"""The main job: from a segmentation and a correspondence with the atlas to a tumour in the patient."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, command
from ..index import best_thresholds
from ..index.protocol import Hits, Mask, Retriever
from ..store.frame import Frame
from ..store.reader import TumorStore
from .imaging.patient import Patient
from .imaging.segmentation import Segmentation
from .imaging.transforms import SpatialMap, mask_to_atlas
from .judgement import judge
from .refinement import MATCHES, Refinement, ensemble_of
from .result import Answer, Before


class Stopwatch:
    """Seconds that each stage took, in the order they ran; announces each as it begins."""

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._announce = announce

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        if self._announce:
            self._announce(name)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def progress(self, name: str) -> Callable[[str], None]:
        """Announce how far a stage has come, in words."""
        return lambda words: self._announce(f"{name}: {words}") if self._announce else None


_DEEPEST = 1000  # matches among which growth is looked for


def personalize_with(
    store: TumorStore,
    retriever: Retriever,
    patient: Patient,
    *,
    top_k: int = 15,
    distinct: bool = False,
    refinement: Refinement | None = None,
    watch: Stopwatch | None = None,
) -> Answer:
    """Find the tumour in `store` that resembles the patient's most, and bring it to the patient.

    Args:
        store: snapshot that `retriever` searches.
        retriever: a way of searching it.
        patient: placed in the store's atlas.
        top_k: matches to list.
        distinct: list no more than the best tumour of each simulation.
        refinement: stage after retrieval.
        watch: times the stages.

    Raises:
        InputError: the store is empty, or the tumour lies wholly outside the atlas's brain.
    """
    watch = watch or Stopwatch()
    check_filled(store)
    segmentation, spatial = patient.segmentation, patient.spatial
    grid, frame = segmentation.frame, store.frame
    with watch.stage("masks to atlas"):
        core_atlas = mask_to_atlas(spatial, segmentation.core, grid, frame)
        whole_atlas = mask_to_atlas(spatial, segmentation.whole, grid, frame) | core_atlas
        outside_ml = _outside_brain_ml(store, segmentation, spatial)
        volumes = {"patient": segmentation.volumes_ml, "atlas": _volumes(core_atlas, whole_atlas, frame)}
        if not whole_atlas.any() and outside_ml < volumes["patient"]["whole"]:
            raise InputError(
                f"the tumour is too small for the atlas's voxels of {frame.voxel_ml * 1000:.0f} mm³: its whole mask "
                f"has {volumes['patient']['whole'] * 1000:.1f} mm³"
            )
        if not (whole_atlas & store.atlas.brain).any():
            raise InputError(
                "the tumour lies wholly outside the atlas's brain",
                hint="check ‹space›, the affine of the segmentation, or register with ‹t1›",
            )
    with watch.stage("search"):
        hits = retriever.search(core_atlas, whole_atlas, top_k, distinct=distinct)
    with watch.stage("density to patient"):
        density_atlas = store.density(int(hits.ids[0]))
        density = np.clip(spatial.to_patient(density_atlas, frame, grid), 0.0, 1.0)
        thresholds = store.thresholds
        if hits.thresholds is not None:  # where the masks were drawn, they can be told a little better
            thresholds = best_thresholds(density, segmentation.core, segmentation.whole, store.thresholds)
    before = None
    with watch.stage("ensemble" if refinement is None else "refinement"):
        if refinement is None:
            posterior = ensemble_of(store, retriever.search(core_atlas, whole_atlas, MATCHES, distinct=True))
        else:
            distinct_hits = _hits_of_known_growth(store, retriever, (core_atlas, whole_atlas), refinement.matches)
            before = Before(density, thresholds, _dices(density, thresholds, segmentation))
            refined = refinement(store, distinct_hits, patient, watch.progress("refinement"))
            density, density_atlas, thresholds, posterior = refined
    core, whole = (density >= np.float32(thresholds[name]) for name in ("core", "whole"))
    volumes["model"] = _volumes(core, whole, grid)
    found = Answer(
        patient,
        hits,
        density,
        core,
        whole,
        density_atlas,
        thresholds,
        core_atlas,
        whole_atlas,
        _dices(density, thresholds, segmentation),
        volumes,
        outside_ml,
        posterior,
        before=before,
    )
    with watch.stage("judgement"):
        doubts = judge(found, store)
    warnings = (*patient.warnings, *(doubt.text for doubt in doubts), *posterior.doubts)
    return replace(found, warnings=warnings, doubts=doubts)


def _hits_of_known_growth(store: TumorStore, retriever: Retriever, masks: tuple[Mask, Mask], wanted: int) -> Hits:
    """Search as deep as it takes to have so many distinct matches with known growth among them.

    What a stage found in the patient's own anatomy is kept without growth, and is then that patient's best match.
    """
    count = wanted
    while True:
        hits = retriever.search(*masks, count, distinct=True)
        known = sum(store.known_parameters(int(tumour)) is not None for tumour in hits.ids)
        if known >= wanted or len(hits) < count or count > _DEEPEST:
            return hits
        count *= 2


def check_filled(store: TumorStore) -> None:
    """Refuse a store in which no search finds anything.

    Raises:
        InputError: it is empty, or all of its tumours have folded the tissue.
    """
    if not len(store):
        raise InputError(
            f"{store.path} holds no tumours yet",
            hint=f"fill it with {command('gliodex build', store.path, count='N')}",
        )
    if not len(store.searched):
        raise InputError(
            f"all {len(store)} tumours of {store.path} have folded the tissue: ‹include_folded› finds them"
        )


def dice(a: Mask, b: Mask) -> float:
    """Dice coefficient of two masks, 0 where both are empty (as in the authors' code)."""
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 0.0


def _dices(density: NDArray[np.float32], thresholds: dict[str, float], segmentation: Segmentation) -> dict[str, float]:
    core = dice(density >= np.float32(thresholds["core"]), segmentation.core)
    whole = dice(density >= np.float32(thresholds["whole"]), segmentation.whole)
    return {"core": core, "whole": whole, "score": core + whole}


def _volumes(core: Mask, whole: Mask, frame: Frame) -> dict[str, float]:
    return {name: float(np.count_nonzero(mask)) * frame.voxel_ml for name, mask in (("core", core), ("whole", whole))}


def _outside_brain_ml(store: TumorStore, segmentation: Segmentation, spatial: SpatialMap) -> float:
    """Volume of the patient's whole tumour that the correspondence puts outside the atlas's brain."""
    inside = np.argwhere(segmentation.whole)
    low, high = inside.min(0), inside.max(0) + 1
    box = segmentation.frame.crop(low, high)
    brain = spatial.to_patient(store.atlas.brain.astype(np.float32), store.frame, box) >= 0.5
    tumour = segmentation.whole[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return float(np.count_nonzero(tumour & ~brain)) * segmentation.frame.voxel_ml
