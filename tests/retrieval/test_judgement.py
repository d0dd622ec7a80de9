"""Each doubt where it belongs, with the right figure, and none where a tumour is as simulations are."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.index import DiceIndex, Expectation, Hits, build_index
from gliodex.retrieval import AffineMap, Segmentation, personalize_with
from gliodex.retrieval.imaging.lesions import lesions
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.judgement import (
    Doubt,
    coverage_doubts,
    judge,
    lesion_doubts,
    overlap_doubts,
    placement_doubts,
    score_doubts,
    shape_doubts,
    size_doubts,
)
from gliodex.store import Frame, creating, open_store

from .anatomy import points_of

IDENTITY = AffineMap(np.eye(4), {"kind": "identity"})
FRAME = Frame((60, 40, 30), np.array([[-1.5, 0, 0, 40], [0, 2.0, 0, -30], [0, 0, 2.5, 5], [0, 0, 0, 1]]))


def ball(centre, radius, frame=FRAME):
    """Mask around a point, mm from the frame's middle."""
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    return np.linalg.norm(points_of(frame.shape, frame.affine) - middle - centre, axis=-1) <= radius


def ml(mask, frame=FRAME):
    return mask.sum() * frame.voxel_ml


def kinds(doubts):
    return [doubt.kind for doubt in doubts]


def doubts_of(whole, core=None, model=None, frame=FRAME):
    nothing = np.zeros_like(whole)
    core, model = (nothing if mask is None else mask for mask in (core, model))
    return list(lesion_doubts(lesions(Segmentation(core, whole, frame)), {"core": model, "whole": model}, frame))


def test_a_second_lesion_is_said_with_its_volume_its_distance_and_what_the_model_covers():
    one, other = ball((-20, 0, 0), 14), ball((22, 0, 0), 9)
    model = one | (other & (points_of(FRAME.shape, FRAME.affine)[..., 1] > FRAME.world((0, 19.5, 0))[1]))
    (doubt,) = doubts_of(one | other, model=model)
    assert doubt.kind == "several_lesions"
    points = [points_of(FRAME.shape, FRAME.affine)[mask] for mask in (one, other)]
    gap = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1).min()
    assert doubt.figures == pytest.approx(
        {
            "pieces": 2,
            "largest_ml": ml(one),
            "second_ml": ml(other),
            "distance_mm": gap,
            "largest_covered_share": 1.0,
            "second_covered_share": (other & model).sum() / other.sum(),
        }
    )
    assert 0.3 < doubt.figures["second_covered_share"] < 0.7
    for figure in ("100% of the largest", f"{ml(one):.1f} ml", f"{ml(other):.1f} ml", f"{gap:.0f} mm away"):
        assert figure in doubt.text


@pytest.mark.parametrize(
    ("radius", "said"),
    [(4, 0), (6.8, 1), (8, 1)],  # 0.3, 1.3 and 2.1 ml beside 48 ml
)
def test_a_speck_is_no_lesion(radius, said):
    assert len(doubts_of(ball((-15, 0, 0), 22) | ball((25, 0, 0), radius))) == said


def test_of_a_small_tumour_a_small_piece_counts():
    small = ball((-20, 0, 0), 8)
    piece = ball((10, 0, 0), 4)
    assert 0.1 < ml(piece) < 1
    assert ml(piece) > 0.05 * ml(small | piece)
    assert kinds(doubts_of(small | piece)) == ["several_lesions"]
    speck = np.zeros_like(small)
    speck[5, 5, 5] = True
    assert doubts_of(ball((-20, 0, 0), 2) | speck) == []


def test_a_second_core_in_one_whole_tumour_is_said_and_in_two_the_whole_alone():
    core = ball((-15, 0, 0), 6) | ball((15, 0, 0), 7)
    (doubt,) = doubts_of(ball((0, 0, 0), 28), core, model=ball((15, 0, 0), 9))
    assert "the core is in 2 pieces" in doubt.text
    assert doubt.figures["second_ml"] == pytest.approx(ml(ball((-15, 0, 0), 6)))
    assert doubt.figures["second_covered_share"] == 0
    (doubt,) = doubts_of(core, core)
    assert "the whole tumour is in 2 pieces" in doubt.text


def test_corners_that_touch_are_one_piece():
    whole = np.zeros(FRAME.shape, bool)
    whole[10:20, 10:20, 10:20] = whole[20:30, 20:30, 20:30] = True
    assert doubts_of(whole) == []


def test_three_pieces_are_counted():
    (doubt,) = doubts_of(ball((-30, 0, 0), 8) | ball((0, 0, 0), 9) | ball((30, 0, 0), 10))
    assert doubt.figures["pieces"] == 3
    assert doubt.figures["second_ml"] == pytest.approx(ml(ball((0, 0, 0), 9)))


@settings(max_examples=20, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))
def test_lesions_are_the_same_however_the_voxels_are_counted(order, signs):
    one, other = ball((-20, 4, 0), 12), ball((20, -6, 3), 9)
    (expected,) = doubts_of(one | other, model=other)
    affine = FRAME.affine.copy()
    affine[:3, :3] = FRAME.affine[:3, order] * signs
    start = [FRAME.shape[axis] - 1 if sign < 0 else 0 for axis, sign in zip(order, signs, strict=True)]
    affine[:3, 3] = FRAME.world(np.array(start)[np.argsort(order)])

    def turned(mask):
        return mask.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]

    frame = Frame(turned(one).shape, affine)
    (doubt,) = doubts_of(turned(one | other), model=turned(other), frame=frame)
    assert doubt.figures == pytest.approx(expected.figures)


@pytest.fixture
def store(make_store, small_atlas, make_tumour, tmp_path):
    """Path of a store of 40 balls of a prior, 8 to 400 ml, which lie within 12 mm of the middle; with its index."""
    frame = small_atlas.frame
    rng = np.random.default_rng(3)
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    tumours = [
        make_tumour(frame, centre=middle + rng.uniform(-12, 12, 3), radius=radius, draw=n)
        for n, radius in enumerate(np.geomspace(14, 50, 40))
    ]
    with creating(tmp_path / "store", small_atlas, {"model": "test"}, "test") as writer:
        writer.commit_tumours(tumours, {"kind": "prior", "campaign": "made"})
    build_index(open_store(tmp_path / "store"))
    return open_store(tmp_path / "store")


def ask(store, core, whole, **options):
    return personalize_with(
        store, DiceIndex.open(store), Patient(Segmentation(core, whole, store.frame), IDENTITY), **options
    )


def in_store(store, centre, radius):
    return ball(centre, 0.6 * radius, store.frame), ball(centre, radius, store.frame)


@pytest.mark.parametrize("radius", [18, 26, 34])
def test_a_tumour_as_the_store_has_them_gives_no_doubt(store, radius):
    found = ask(store, *in_store(store, (5, -3, 2), radius))
    assert found.doubts == ()
    assert found.warnings == ()


def test_the_doubts_of_an_answer_are_its_warnings_and_plain_values(store):
    core, whole = in_store(store, (-40, 0, 0), 16)
    other = in_store(store, (40, 0, 0), 14)
    found = ask(store, core | other[0], whole | other[1])
    assert "several_lesions" in kinds(found.doubts)
    assert set(found.warnings) == {doubt.text for doubt in found.doubts}
    record = found.doubts[0].as_record()
    assert set(record) == {"kind", "text", "figures"}
    assert all(isinstance(value, (int, float)) for value in record["figures"].values())
    assert judge(found, store) == found.doubts


def test_what_is_smaller_or_larger_than_all_is_said(store):
    stored = store.segment(store.segments[0]).column("whole")
    for volume, kind, limit in ((stored.min() - 0.1, "too_small", stored.min()), (900.0, "too_large", stored.max())):
        (doubt,) = size_doubts({"whole": volume, "core": 0.0}, store)
        assert doubt.kind == kind
        assert doubt.figures == pytest.approx({"volume_ml": volume, "limit_ml": limit})
        assert f"{limit:.1f} ml" in doubt.text
        assert f"{volume:.1f} ml" in doubt.text
    assert list(size_doubts({"whole": float(np.median(stored)), "core": 0.0}, store)) == []


def test_a_core_larger_than_all_is_said(store):
    (doubt,) = size_doubts({"whole": 100.0, "core": 390.0}, store)
    assert doubt.kind == "too_large"
    assert "the core has 390.0 ml" in doubt.text
    assert len(list(size_doubts({"whole": 900.0, "core": 800.0}, store))) == 1


def of_score(score, *, before=None, core=True, volume=50.0):
    """As much of an answer as is looked at."""
    mask = np.ones(1, bool) if core else np.zeros(1, bool)
    hits = Hits(*(np.array([v]) for v in (0, score, 0.4 * score, 0.6 * score)), 1)
    dice = {"score": 0.9 * score if before else 2.0}
    return SimpleNamespace(
        hits=hits, dice=dice, before=before, core_atlas=mask, volumes_ml={"atlas": {"whole": volume, "core": 9.0}}
    )


@pytest.fixture
def expectation():
    """Simulations that reach Dice sums from 0.7 to 1.69 whatever their size, and half of it by the whole alone."""
    scores = np.tile(np.linspace(0.7, 1.69, 100), 10)
    volumes = np.repeat(np.geomspace(3, 250, 10), 100)
    return Expectation(volumes, 0.4 * scores, 0.6 * scores, scores / 2)


def test_a_dice_sum_that_simulations_hardly_ever_have_is_said(expectation):
    store = SimpleNamespace(path="tumours")
    (doubt,) = score_doubts(of_score(0.65), store, expectation)
    assert doubt.kind == "low_dice"
    peers = expectation.of(50.0)
    reached = np.quantile(peers.scores, 0.01, method="lower")
    assert doubt.figures == pytest.approx({"score": 0.65, "reached_by_99_percent": reached, "percentile": 0.0})
    assert f"99 % reach {reached:.2f}" in doubt.text
    assert "Dice sum of the best match is 0.65" in doubt.text
    assert list(score_doubts(of_score(0.72), store, expectation)) == []


def test_what_was_refined_is_judged_by_its_dice_in_the_patient(expectation):
    store = SimpleNamespace(path="tumours")
    (doubt,) = score_doubts(of_score(0.74, before=True), store, expectation)
    assert doubt.figures["score"] == pytest.approx(0.9 * 0.74)
    assert "the refined tumour" in doubt.text


def test_without_a_core_the_whole_is_judged_alone(expectation):
    store = SimpleNamespace(path="tumours")
    (doubt,) = score_doubts(of_score(0.33, core=False), store, expectation)
    assert "Dice of the whole tumour" in doubt.text
    assert list(score_doubts(of_score(0.4, core=False), store, expectation)) == []


def test_a_score_that_ordinary_patients_have_is_none_to_doubt(expectation):
    higher = replace(expectation, core=expectation.core + 0.6)
    assert list(score_doubts(of_score(1.2), SimpleNamespace(path="tumours"), higher)) == []
    assert kinds(score_doubts(of_score(1.05), SimpleNamespace(path="tumours"), higher)) == ["low_dice"]


def test_an_index_without_expectation_is_said_with_the_command():
    (doubt,) = score_doubts(of_score(0.5), SimpleNamespace(path="tumours"), None)
    assert doubt.kind == "no_expectation"
    assert "`gliodex index tumours`" in doubt.text


def test_nothing_in_common_is_said_once():
    hits = Hits(*(np.zeros(1) for _ in range(4)), 1)
    assert kinds(overlap_doubts(hits)) == ["no_overlap"]
    assert list(overlap_doubts(replace(hits, dice_whole=np.full(1, 0.01)))) == []


def coverage(density, whole, model):
    return list(coverage_doubts(density.astype(np.float32), whole, model, FRAME))


def test_the_share_without_density_and_the_share_outside_the_model_are_told():
    whole = np.zeros(FRAME.shape, bool)
    whole[10:30, 10:20, 10:20] = True
    density = np.zeros(FRAME.shape)
    density[10:18] = 0.3
    model = np.zeros_like(whole)
    model[10:14] = True
    empty, outside = coverage(density, whole, model)
    volume = 2000 * FRAME.voxel_ml
    assert (empty.kind, outside.kind) == ("without_density", "outside_model")
    assert empty.figures == pytest.approx({"empty_ml": 0.6 * volume, "share": 0.6})
    assert outside.figures == pytest.approx({"outside_ml": 0.8 * volume, "share": 0.8})
    assert f"{0.6 * volume:.1f} ml (60%)" in empty.text
    assert coverage(np.full(FRAME.shape, 0.02), whole, whole) == []


def shapes(whole, model):
    return list(shape_doubts(whole, model, FRAME))


def test_a_model_elsewhere_and_of_another_size_is_told():
    whole, model = ball((-12, 0, 0), 8), ball((9, 0, 0), 16)
    far, size = shapes(whole, model)
    assert (far.kind, size.kind) == ("displaced", "model_volume")
    assert far.figures["distance_mm"] == pytest.approx(21, abs=0.3)
    assert size.figures == pytest.approx({"model_ml": ml(model), "patient_ml": ml(whole)})
    assert "21 mm" in far.text
    assert shapes(whole, ball((-9, 0, 0), 11)) == []


def test_an_empty_model_is_of_another_size():
    assert kinds(shapes(ball((0, 0, 0), 10), np.zeros(FRAME.shape, bool))) == ["model_volume"]


def placed(patient=50.0, atlas=60.0, outside=0.0, correlation=None):
    return list(placement_doubts({"patient": {"whole": patient}, "atlas": {"whole": atlas}}, outside, correlation))


def test_how_the_patient_lies_in_the_atlas_is_judged():
    assert placed() == placed(outside=9.9, correlation=0.5) == []
    (doubt,) = placed(outside=11.0)
    assert doubt.figures == {"outside_ml": 11.0, "patient_ml": 50.0}
    assert "11.0 of 50.0 ml" in doubt.text
    assert kinds(placed(atlas=29.0)) == kinds(placed(atlas=86.0)) == ["volume_in_atlas"]
    (doubt,) = placed(correlation=0.3)
    assert (doubt.kind, doubt.figures) == ("weak_correlation", {"correlation": 0.3})


def test_a_doubt_without_figures_is_plain_too():
    assert Doubt("kind", "text").as_record() == {"kind": "kind", "text": "text", "figures": {}}
