from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import DiceIndex, open_retriever
from gliodex.retrieval import AffineMap, Segmentation, Stopwatch, dice, personalize_with
from gliodex.retrieval.imaging.patient import Patient
from gliodex.store import Frame, open_store, writing

from .anatomy import LPS_AXES, around, points_of

IDENTITY = AffineMap(np.eye(4), {"kind": "identity"})


@pytest.fixture
def store(small_store):
    return open_store(small_store)


def ask(store, core, whole, frame=None, spatial=IDENTITY, **options):
    segmentation = Segmentation(core, whole, frame or store.frame)
    return personalize_with(store, DiceIndex.open(store), Patient(segmentation, spatial), **options)


def masks_of(store, tumour):
    density = store.density(tumour)
    return density >= np.float32(0.6), density >= np.float32(0.2)


def ball(frame, centre, radius):
    return np.linalg.norm(points_of(frame.shape, frame.affine) - centre, axis=-1) <= radius


@pytest.mark.parametrize("tumour", range(5))
def test_a_stored_tumour_is_found_and_returned_as_stored(store, tumour):
    core, whole = masks_of(store, tumour)
    found = ask(store, core, whole)
    assert found.hits.ids[0] == tumour
    assert found.dice == pytest.approx({"core": 1.0, "whole": 1.0, "score": 2.0})
    np.testing.assert_allclose(found.density, store.density(tumour), atol=1e-6)
    np.testing.assert_array_equal(found.density_atlas, store.density(tumour))
    np.testing.assert_array_equal(found.core, core)
    np.testing.assert_array_equal(found.whole, whole)
    assert found.density.dtype == np.float32


@pytest.mark.parametrize("tumour", range(5))
def test_thresholds_that_were_searched_are_those_of_the_outlines(store, tumour):
    """Outlines at densities that nobody told are met exactly; the masks written are at these densities."""
    density = store.density(tumour)
    core, whole = density >= np.float32(0.7), density >= np.float32(0.1)
    segmentation = Segmentation(core, whole, store.frame)
    found = personalize_with(store, open_retriever(store, search_thresholds=True), Patient(segmentation, IDENTITY))
    assert found.dice["score"] == pytest.approx(2)
    np.testing.assert_array_equal(found.core, core)
    np.testing.assert_array_equal(found.whole, whole)
    np.testing.assert_array_equal(found.density >= np.float32(found.thresholds["core"]), core)
    fixed = personalize_with(store, DiceIndex.open(store), Patient(segmentation, IDENTITY))
    assert fixed.thresholds == store.thresholds
    assert fixed.dice["score"] < found.dice["score"]


def test_masks_in_the_atlas_are_what_was_searched_for(store):
    core, whole = masks_of(store, 2)
    found = ask(store, core, whole)
    again = DiceIndex.open(store).search(found.core_atlas, found.whole_atlas, 15)
    np.testing.assert_array_equal(again.ids, found.hits.ids)
    np.testing.assert_array_equal(again.scores, found.hits.scores)
    assert not (found.core_atlas & ~found.whole_atlas).any()


def test_top_k_limits_the_matches(store):
    core, whole = masks_of(store, 2)
    assert len(ask(store, core, whole, top_k=2).hits) == 2
    assert len(ask(store, core, whole, top_k=50).hits) == 5


def test_the_answer_lives_on_the_patients_grid(store):
    _, whole = masks_of(store, 3)
    middle = store.frame.world(np.argwhere(whole)).mean(0)
    grid = around(middle, LPS_AXES, (1.5, 2.0, 3.0), (100, 110, 120))
    density = grid.resample(store.density(3), store.frame)
    found = ask(store, density >= 0.6, density >= 0.2, grid)
    assert found.hits.ids[0] == 3
    assert found.density.shape == found.core.shape == found.whole.shape == grid.shape
    np.testing.assert_allclose(found.density, density, atol=1e-6)
    assert found.volumes_ml["patient"]["whole"] == pytest.approx((density >= 0.2).sum() * 0.009)
    assert found.volumes_ml["model"]["whole"] == pytest.approx(found.whole.sum() * 0.009)
    assert found.volumes_ml["atlas"]["whole"] == pytest.approx(found.whole_atlas.sum() * 0.064)


def test_reported_dice_is_that_of_the_masks(store):
    core, whole = masks_of(store, 1)
    core, whole = np.roll(core, 2, axis=0), np.roll(whole, 2, axis=0)
    found = ask(store, core, whole)
    expected = [
        2 * (model & patient).sum() / (model.sum() + patient.sum())
        for model, patient in ((found.core, core), (found.whole, whole))
    ]
    assert [found.dice["core"], found.dice["whole"]] == pytest.approx(expected)
    assert found.dice["score"] == pytest.approx(sum(expected))
    assert 0 < found.dice["whole"] < 1


def test_a_tumour_without_core_is_ranked_by_the_whole(store):
    _, whole = masks_of(store, 4)
    found = ask(store, np.zeros_like(whole), whole)
    assert found.hits.ids[0] == 4
    assert found.dice["core"] == 0
    assert found.hits.dice_core[0] == 0


def test_a_tumour_wholly_outside_the_brain_is_refused(store):
    corner = np.zeros(store.frame.shape, bool)
    corner[:3, :3, :3] = True
    assert not (corner & store.atlas.brain).any()
    with pytest.raises(InputError, match="outside the atlas's brain"):
        ask(store, corner, corner)


def test_a_tumour_in_another_world_is_refused(store):
    core, whole = masks_of(store, 1)
    affine = store.frame.affine.copy()
    affine[:3, 3] += 1000
    with pytest.raises(InputError, match="outside the atlas's brain"):
        ask(store, core, whole, Frame(store.frame.shape, affine))


def test_what_is_outside_the_brain_is_counted(store):
    brain = store.atlas.brain
    whole = np.zeros(store.frame.shape, bool)
    whole[:8, 14:22, 12:20] = True
    outside = (whole & ~brain).sum()
    assert 0 < outside < whole.sum()
    found = ask(store, np.zeros_like(whole), whole)
    assert found.outside_brain_ml == pytest.approx(outside * store.frame.voxel_ml)


def test_nothing_is_outside_for_a_tumour_within(store):
    found = ask(store, *masks_of(store, 0))
    assert found.outside_brain_ml == 0
    assert not any("outside" in w for w in found.warnings)


def test_much_outside_the_brain_is_warned_of(store):
    middle = (np.array(store.frame.shape) - 1) // 2
    whole = np.zeros(store.frame.shape, bool)
    whole[:6, middle[1] - 4 : middle[1] + 4, middle[2] - 4 : middle[2] + 4] = True
    found = ask(store, np.zeros_like(whole), whole)
    assert found.outside_brain_ml > 0.2 * found.volumes_ml["patient"]["whole"]
    assert any("outside the atlas's brain" in w for w in found.warnings)


def test_a_grid_counts_outside_volume_in_its_own_voxels(store):
    edge = store.frame.world((store.frame.shape[0] - 3, 18, 16))
    grid = around(edge, LPS_AXES, (2.0, 2.0, 2.0), (60, 60, 60))
    whole = ball(grid, edge, 16)
    brain = store.frame.voxel(points_of(grid.shape, grid.affine))
    radius = np.linalg.norm(
        (brain - (np.array(store.frame.shape) - 1) / 2) / (0.46 * np.array(store.frame.shape)), axis=-1
    )
    expected = (whole & (radius >= 1)).sum() * grid.voxel_ml
    found = ask(store, np.zeros_like(whole), whole, grid)
    assert found.outside_brain_ml == pytest.approx(expected, rel=0.08)


def test_a_strange_change_of_volume_is_warned_of(store):
    core, whole = masks_of(store, 2)
    middle = store.frame.world(np.argwhere(whole)).mean(0)
    halved = np.diag([0.7, 0.7, 0.7, 1.0])
    halved[:3, 3] = middle - halved[:3, :3] @ middle
    assert not any("ml in the atlas" in w for w in ask(store, core, whole).warnings)
    assert any("ml in the atlas" in w for w in ask(store, core, whole, spatial=AffineMap(halved, {})).warnings)


def test_a_match_that_shares_no_voxel_is_warned_of(store):
    covered = np.any([store.density(t) >= 0.2 for t in store.ids], axis=0)
    free = np.argwhere(store.atlas.brain & ~covered)
    whole = np.zeros(store.frame.shape, bool)
    whole[tuple(free[:40].T)] = True
    found = ask(store, np.zeros_like(whole), whole)
    assert found.hits.scores[0] == 0
    assert found.warnings, "the best match has score 0 and nothing is said about it"


def test_a_tumour_too_small_for_the_atlas_is_not_said_to_be_outside_it(store):
    inside = store.frame.world((20, 18, 16))
    grid = around(inside, LPS_AXES, (1.0, 1.0, 1.0), (20, 20, 20))
    whole = np.zeros(grid.shape, bool)
    whole[10, 10, 10] = True
    said = ""
    try:
        ask(store, np.zeros_like(whole), whole, grid)
    except InputError as error:
        said = str(error)
    assert "wholly outside" not in said


def test_an_empty_store_is_refused_with_advice(make_store, small_atlas):
    store = open_store(make_store(small_atlas))
    core, whole = np.zeros(store.frame.shape, bool), store.atlas.brain.copy()
    with pytest.raises(InputError, match="gliodex build") as caught:
        ask(store, core, whole)
    assert str(store.path) in str(caught.value)


def test_a_store_of_folded_tumours_alone_is_refused_with_advice(store):
    records = [replace(record, folded=tuple(range(record.count))) for record in store.segments]
    store.manifest = replace(store.manifest, segments=tuple(records))
    with pytest.raises(InputError, match=r"all 5 tumours of .* have folded the tissue: include_folded"):
        ask(store, *masks_of(store, 1))
    assert ask(store.with_folded(), *masks_of(store, 1)).hits.ids[0] == 1


class AskedError(Exception):
    """What a stage was given."""


class Asking:
    """A stage that tells which matches it was given."""

    def __init__(self, matches):
        self.matches = matches

    def __call__(self, store, hits, patient, tell=None):
        raise AskedError(hits.ids.tolist())


@pytest.mark.parametrize(("wanted", "matches"), [(1, 8), (2, 8), (5, 9)])
def test_stages_get_matches_of_known_growth_however_many_without_are_closer(store, make_tumour, wanted, matches):
    """As a patient's own earlier answers are."""
    density = 0.9 * store.density(1)
    earlier = [replace(make_tumour(store.frame, density), parameters=None) for _ in range(4)]
    with writing(store.path, "test") as writer:
        writer.commit_tumours(earlier, {"method": "test"})
    later = open_store(store.path)
    core, whole = (density >= np.float32(level) for level in (0.6, 0.2))
    with pytest.raises(AskedError) as asked:
        ask(later, core, whole, refinement=Asking(wanted))
    (given,) = asked.value.args
    assert given[:4] == [5, 6, 7, 8], "they are among them"
    assert len(given) == matches
    assert sum(later.known_parameters(tumour) is not None for tumour in given) >= min(wanted, 5)


def test_warnings_of_the_segmentation_are_kept(store):
    core, whole = masks_of(store, 1)
    segmentation = Segmentation(core, whole, store.frame, warnings=("look here",))
    assert "look here" in personalize_with(store, DiceIndex.open(store), Patient(segmentation, IDENTITY)).warnings


def test_stages_are_timed_and_announced(store):
    said = []
    watch = Stopwatch(said.append)
    ask(store, *masks_of(store, 1), watch=watch)
    assert said == list(watch.seconds) == ["masks to atlas", "search", "density to patient", "ensemble", "judgement"]
    assert all(seconds >= 0 for seconds in watch.seconds.values())


def test_a_stage_that_fails_is_timed_and_one_that_repeats_is_added():
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("a"):
        raise KeyError
    before = watch.seconds["a"]
    with watch.stage("a"):
        pass
    assert list(watch.seconds) == ["a"]
    assert watch.seconds["a"] >= before


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 1, 0], [1, 1, 0], 1.0),
        ([1, 1, 0], [0, 1, 1], 0.5),
        ([1, 0, 0], [0, 1, 1], 0.0),
        ([0, 0, 0], [0, 0, 0], 0.0),
        ([1, 1, 1], [0, 0, 0], 0.0),
    ],
)
def test_dice(a, b, expected):
    assert dice(np.array(a, bool), np.array(b, bool)) == expected
