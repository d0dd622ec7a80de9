"""Whether an answer is to be believed: what a reader must know before the density is used.

Real outlines are matched worse than simulated ones, so the levels are chosen on 29 patients (pre-operative gliomas of
BraTS, expert outlines, placed without registration): beside each stands how many of them it warned of when it was
chosen, in a store of 3,000 tumours. What all together warn of, `benchmarks/judgement.py` measures: in 20,000 tumours,
11 of the patients, 8 of these for a second lesion, and 2 of 60 held-out simulations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..index.expectation import Expectation, expectation_of
from ..index.protocol import Hits, Mask
from ..store.frame import Frame
from ..store.reader import TumorStore
from .imaging.lesions import Lesion, Lesions, lesions
from .result import Answer, Doubt

Volumes = dict[str, dict[str, float]]
"""Of core and whole in ml, by space: see `Answer`."""


_MUCH_OUTSIDE = 0.2  # 0 patients
_WEAK_CORRELATION = 0.35
_SHRUNK, _SWOLLEN = 0.6, 1.7  # 0; ICBM152 is larger than most brains: 1.36 is ordinary
_PIECE_ML = {"whole": 1.0, "core": 0.5}  # 8: 5 have two whole tumours, 3 two cores in one; no simulation has
_PIECE_SHARE, _SPECK_ML = 0.05, 0.1  # a share of a small tumour may be a speck of its outline
_NO_DENSITY, _MUCH_WITHOUT = 0.01, 0.5  # 0, and one simulation; patients with two lesions have 0.21 to 0.45
_MUCH_UNMODELLED = 0.7  # 0, and one simulation; patients have up to 0.59
_FAR_MM = 20.0  # 2, both with two lesions: 34 and 36 mm; all others, and simulations, have up to 17
_MODEL_SMALL, _MODEL_LARGE = 0.25, 5.0  # 0, and four simulations; patients have 0.46 to 2.3
_SELDOM = 1.0  # per cent
_ORDINARY = 1.1  # Dice sum that 27 of 29 patients reach in 20,000 tumours


def judge(answer: Answer, store: TumorStore) -> tuple[Doubt, ...]:
    """Say what speaks against an answer, as it was retrieved or refined.

    Args:
        answer: to judge.
        store: snapshot that was searched.

    Raises:
        DamagedStoreError: the index, or a table of the store, is damaged.
    """
    segmentation, volumes = answer.segmentation, answer.volumes_ml
    frame, model = segmentation.frame, {"core": answer.core, "whole": answer.whole}
    unlike = tuple(overlap_doubts(answer.hits))
    return (
        *unlike,
        *placement_doubts(volumes, answer.outside_brain_ml, answer.spatial.describe().get("correlation")),
        *lesion_doubts(lesions(segmentation), model, frame),
        *size_doubts(volumes["atlas"], store),
        *(() if unlike and not answer.before else score_doubts(answer, store, expectation_of(store))),
        *coverage_doubts(answer.density, segmentation.whole, answer.whole, frame),
        *shape_doubts(segmentation.whole, answer.whole, frame),
    )


def overlap_doubts(hits: Hits) -> Iterator[Doubt]:
    """Warn where nothing was found."""
    if hits.dice_core[0] + hits.dice_whole[0] == 0:
        yield Doubt("no_overlap", "no stored tumour overlaps the patient's masks: the result is not meaningful")


def placement_doubts(volumes: Volumes, outside_ml: float, correlation: object) -> Iterator[Doubt]:
    """Warn of how the patient lies in the atlas.

    Args:
        volumes: of the patient's masks there and in the atlas.
        outside_ml: of the whole tumour, what lies outside the atlas's brain.
        correlation: of a registered T1 with the atlas's; None where nothing was registered.
    """
    patient, atlas = volumes["patient"]["whole"], volumes["atlas"]["whole"]
    if outside_ml > _MUCH_OUTSIDE * patient:
        yield Doubt(
            "outside_brain",
            f"{outside_ml:.1f} of {patient:.1f} ml of the whole tumour fall outside the atlas's brain, where no match "
            f"can be: register with ‹t1› if there is a T1",
            {"outside_ml": outside_ml, "patient_ml": patient},
        )
    if not _SHRUNK <= atlas / patient <= _SWOLLEN:
        yield Doubt(
            "volume_in_atlas",
            f"the whole tumour has {patient:.1f} ml in the patient and {atlas:.1f} ml in the atlas",
            {"patient_ml": patient, "atlas_ml": atlas},
        )
    if isinstance(correlation, float) and correlation < _WEAK_CORRELATION:
        yield Doubt(
            "weak_correlation",
            f"the registered T1 resembles the atlas weakly (correlation {correlation:.2f}): is it skull-stripped and "
            "rightly oriented? Look at the outlines",
            {"correlation": correlation},
        )


def lesion_doubts(found: Lesions, model: dict[str, Mask], frame: Frame) -> Iterator[Doubt]:
    """Warn of a second lesion, which a simulation cannot have: it grows from one seed.

    A second piece of the core is looked for where the whole tumour is in one.

    Args:
        found: the patient's.
        model: masks by name.
        frame: of both.
    """
    for name, words in (("whole", "whole tumour"), ("core", "core")):
        pieces = _that_count(getattr(found, name), name)
        if len(pieces) < 2:
            continue
        largest, second = pieces[:2]
        apart = _gap_mm(largest, second, frame)
        covered = [float(model[name][piece.box][piece.voxels].mean()) for piece in (largest, second)]
        volumes = [piece.volume_ml for piece in (largest, second)]
        yield Doubt(
            "several_lesions",
            f"the {words} is in {len(pieces)} pieces, and a simulation, which grows from one seed, cannot explain two: "
            f"the model covers {covered[0]:.0%} of the largest ({volumes[0]:.1f} ml) and {covered[1]:.0%} of the "
            f"second ({volumes[1]:.1f} ml, {apart:.0f} mm away)",
            {
                "pieces": len(pieces),
                "largest_ml": volumes[0],
                "second_ml": volumes[1],
                "distance_mm": apart,
                "largest_covered_share": covered[0],
                "second_covered_share": covered[1],
            },
        )
        return


def size_doubts(asked_ml: dict[str, float], store: TumorStore) -> Iterator[Doubt]:
    """Warn of a tumour that is smaller or larger than those of the store; of its core where the whole is not.

    Args:
        asked_ml: volumes of the masks that were searched for.
        store: that was searched.
    """
    for name, words in (("whole", "whole tumour"), ("core", "core")):
        volume, stored = asked_ml[name], _stored_ml(store, name)
        small = volume < stored.min()
        if volume == 0 or not (small or volume > stored.max()):
            continue
        limit = float(stored.min() if small else stored.max())
        kind, than, which = ("too_small", "smaller", "smallest") if small else ("too_large", "larger", "largest")
        yield Doubt(
            kind,
            f"the {words} has {volume:.1f} ml in the atlas, where it is {than} than any tumour of the store: the "
            f"{which} has {limit:.1f} ml",
            {"volume_ml": volume, "limit_ml": limit},
        )
        return


def score_doubts(answer: Answer, store: TumorStore, expectation: Expectation | None) -> Iterator[Doubt]:
    """Warn of a Dice sum that is low for a simulation of that size, and for a patient.

    Of a retrieved answer it is that of the best match in the atlas, of a refined one that in the patient.
    """
    if expectation is None:
        yield Doubt(
            "no_expectation",
            f"the index does not say which Dice sum is to be expected: run `gliodex index {store.path}`",
        )
        return
    hits, has_core = answer.hits, bool(answer.core_atlas.any())
    score = answer.dice["score"] if answer.before else float(hits.dice_core[0] + hits.dice_whole[0])
    peers = expectation.of(answer.volumes_ml["atlas"]["whole"], core=has_core)
    if peers is None or score >= (_ORDINARY if has_core else _ORDINARY / 2) or peers.percentile(score) >= _SELDOM:
        return
    what = "Dice sum" if has_core else "Dice of the whole tumour"
    reached = peers.reached_by(0.99)
    yield Doubt(
        "low_dice",
        f"the {what} of the {'refined tumour' if answer.before else 'best match'} is {score:.2f}: of simulated tumours "
        f"of {peers.smallest_ml:.0f} to {peers.largest_ml:.0f} ml 99 % reach {reached:.2f} by retrieval",
        {"score": score, "reached_by_99_percent": reached, "percentile": peers.percentile(score)},
    )


def coverage_doubts(density: NDArray[np.float32], whole: Mask, model: Mask, frame: Frame) -> Iterator[Doubt]:
    """Warn where much of the patient's whole tumour holds no density, or lies outside the model's."""
    total, empty = np.count_nonzero(whole), np.count_nonzero(density[whole] < _NO_DENSITY)
    missed = np.count_nonzero(whole & ~model)
    if empty > _MUCH_WITHOUT * total:
        ml = empty * frame.voxel_ml
        yield Doubt(
            "without_density",
            f"{ml:.1f} ml ({empty / total:.0%}) of the whole tumour hold no density: the answer says nothing there",
            {"empty_ml": ml, "share": empty / total},
        )
    if missed > _MUCH_UNMODELLED * total:
        ml = missed * frame.voxel_ml
        yield Doubt(
            "outside_model",
            f"{ml:.1f} ml ({missed / total:.0%}) of the whole tumour lie outside the model's whole tumour",
            {"outside_ml": ml, "share": missed / total},
        )


def shape_doubts(whole: Mask, model: Mask, frame: Frame) -> Iterator[Doubt]:
    """Warn of a model that lies elsewhere than the patient's whole tumour, or is of another size."""
    volumes = [float(np.count_nonzero(mask)) * frame.voxel_ml for mask in (whole, model)]
    if model.any():
        centres = [frame.world(np.argwhere(mask).mean(axis=0)) for mask in (whole, model)]
        apart = float(np.linalg.norm(centres[0] - centres[1]))
        if apart > _FAR_MM:
            yield Doubt(
                "displaced",
                f"the model's whole tumour has its centre of mass {apart:.0f} mm from the patient's",
                {"distance_mm": apart},
            )
    if not _MODEL_SMALL <= volumes[1] / volumes[0] <= _MODEL_LARGE:
        yield Doubt(
            "model_volume",
            f"the model's whole tumour has {volumes[1]:.1f} ml, the patient's {volumes[0]:.1f} ml",
            {"model_ml": volumes[1], "patient_ml": volumes[0]},
        )


def _that_count(pieces: tuple[Lesion, ...], name: str) -> list[Lesion]:
    """Leave out specks of an outline."""
    total = sum(piece.volume_ml for piece in pieces)
    least = min(_PIECE_ML[name], max(_PIECE_SHARE * total, _SPECK_ML))
    return [piece for piece in pieces if piece.volume_ml >= least]


def _gap_mm(one: Lesion, other: Lesion, frame: Frame) -> float:
    """Smallest distance between two pieces."""
    points = [frame.world(np.argwhere(piece.voxels) + [side.start for side in piece.box]) for piece in (one, other)]
    return float(cKDTree(points[0]).query(points[1])[0].min())


def _stored_ml(store: TumorStore, name: str) -> NDArray[np.float64]:
    columns = [store.segment(record).column(name) for record in store.segments]
    return np.concatenate(columns)[~store.left_out]
