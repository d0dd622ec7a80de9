"""Leave-one-out against brute force; what is kept of it, and when it is made anew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.errors import DamagedStoreError, OutputError
from gliodex.index import (
    DiceIndex,
    Expectation,
    SimilarSize,
    build_index,
    expectation,
    expectation_of,
    prepare,
    verify_methods,
)
from gliodex.index.dice import dice_data
from gliodex.index.expectation import leave_one_out, refresh_expectation
from gliodex.store import creating, open_store, writing

from ..store.breaking import flip
from .brute_force import brute_force, delete, dice, masks_of, run_of

PRIOR = {"kind": "prior", "campaign": "made"}
MODEL = {"model": "test"}


@pytest.fixture(scope="module")
def densities(make_atlas, ball):
    """An atlas, and 24 balls of different sizes, two of each simulation: the second is an earlier stage."""
    atlas = make_atlas((14, 12, 10), spacing=6.0)
    rng = np.random.default_rng(5)
    found = []
    for _ in range(12):
        centre, radius = atlas.frame.world(rng.uniform(3, 8, 3)), rng.uniform(14, 30)
        found += [ball(atlas.frame, centre, radius), ball(atlas.frame, centre, 0.9 * radius)]
    return atlas, found


@pytest.fixture
def path(densities, make_tumour, tmp_path):
    """Path of a store of these 24, of one more of each of four kinds, and one that folded."""
    atlas, balls = densities
    drawn = [make_tumour(atlas.frame, u, draw=n // 2) for n, u in enumerate(balls)]
    with creating(tmp_path / "store", atlas, MODEL, "test") as writer:
        writer.commit_tumours(drawn[:10], PRIOR)
        writer.commit_tumours(drawn[10:], PRIOR)
        writer.commit_tumours([make_tumour(atlas.frame, 0.98 * balls[3])], {"kind": "refined"})
        writer.commit_tumours([make_tumour(atlas.frame, np.zeros_like(balls[0]), draw=90)], PRIOR)
        writer.commit_tumours([make_tumour(atlas.frame, 0.5 * balls[4], draw=91)], PRIOR)  # it has no core
    return tmp_path / "store"


@pytest.fixture
def store(path):
    build_index(open_store(path))
    return open_store(path)


def others(store, tumour, *, core=True):
    """Dice of core and whole of the best tumour of another simulation, by comparing all of them."""
    masks = masks_of(store, tumour)
    own = {t for t in store.ids.tolist() if run_of(store, t) == run_of(store, tumour)}
    asked = masks[0] if core else np.zeros_like(masks[0])
    return [column[0] for column in brute_force(store, asked, masks[1], without=own)[2:]]


def test_it_is_what_brute_force_finds_among_other_simulations(store):
    found = leave_one_out(store)
    by_volume = sorted(range(24), key=lambda t: (masks_of(store, t)[1].sum(), t))
    expected = np.array([others(store, t) for t in by_volume])
    np.testing.assert_allclose(found.volumes_ml, [masks_of(store, t)[1].sum() * 0.216 for t in by_volume])
    np.testing.assert_array_equal(found.core, expected[:, 0])
    np.testing.assert_array_equal(found.whole, expected[:, 1])
    np.testing.assert_array_equal(found.whole_alone, [others(store, t, core=False)[1] for t in by_volume])
    own_stage = [dice(masks_of(store, t)[1], masks_of(store, t ^ 1)[1]) for t in by_volume]
    assert (found.whole < own_stage).mean() > 0.5, "stages of the same simulation are closer, and passed over"


def test_a_patients_tumour_is_a_match_and_no_query(store):
    found = leave_one_out(store)
    assert len(found.volumes_ml) == 24
    near = masks_of(store, 3)[1].sum() * store.frame.voxel_ml
    assert found.whole[found.volumes_ml == near].max() > 0.9


def test_deleted_tumours_are_neither(path):
    left = delete(path, 3, 24)
    found = leave_one_out(left)
    assert len(found.volumes_ml) == 23
    expected = sorted(sum(others(left, t)) for t in left.ids.tolist() if t < 24)
    np.testing.assert_allclose(np.sort(found.core + found.whole), expected)


def test_of_one_simulation_alone_nothing_is_found(densities, make_tumour, tmp_path):
    atlas, balls = densities
    with creating(tmp_path / "one", atlas, MODEL, "test") as writer:
        writer.commit_tumours([make_tumour(atlas.frame, u, draw=1) for u in balls[:3]], PRIOR)
    found = leave_one_out(open_store(tmp_path / "one"))
    assert found.whole.tolist() == found.whole_alone.tolist() == [0, 0, 0]


def test_small_and_large_ones_are_covered_alike(store):
    volumes = np.concatenate([np.geomspace(3, 30, 60), np.geomspace(60, 250, 4000)])
    chosen = expectation._stratified(volumes, np.arange(len(volumes)), 400)
    assert len(set(chosen.tolist())) == 400
    assert (np.diff(volumes[chosen]) >= 0).all()
    assert np.isin(np.arange(60), chosen).all(), "small ones are few: all are taken"
    counts = np.histogram(np.log(volumes[chosen]), np.linspace(np.log(60), np.log(250), 5))[0]
    assert counts.max() < 1.5 * counts.min()


def made(volumes, scores):
    scores = np.asarray(scores, float)
    return Expectation(np.asarray(volumes, float), 0.4 * scores, 0.6 * scores, scores / 2)


def test_a_tumour_is_compared_with_those_of_nearly_its_size():
    volumes = np.geomspace(3, 250, 1000)
    peers = made(volumes, np.log(volumes)).of(40.0)
    nearest = np.sort(np.argsort(np.abs(np.log(volumes) - np.log(40)))[:200])
    assert (peers.smallest_ml, peers.largest_ml) == (volumes[nearest[0]], volumes[nearest[-1]])
    np.testing.assert_allclose(peers.scores, np.log(volumes[nearest]))
    assert peers.percentile(np.log(40)) == pytest.approx(50, abs=1)
    assert made(volumes, np.log(volumes)).of(40.0, core=False).scores[0] == pytest.approx(peers.scores[0] / 2)


def test_a_size_that_none_has_is_compared_with_the_nearest():
    volumes = np.geomspace(3, 250, 1000)
    assert made(volumes, volumes).of(0.1).smallest_ml == 3
    assert made(volumes, volumes).of(900).largest_ml == pytest.approx(250)


def test_few_tell_nothing():
    assert made(np.arange(1, 20), np.ones(19)).of(5.0) is None
    assert made([], []).of(5.0) is None


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60), st.floats(0, 2), st.floats(0, 2))
def test_percentiles_rise_with_the_score_and_shares_are_what_they_say(scores, one, other):
    peers = SimilarSize(np.sort(scores), 1.0, 2.0)
    low, high = sorted((one, other))
    assert 0 <= peers.percentile(low) <= peers.percentile(high) <= 100
    assert peers.percentile(low) == 100 * sum(s < low for s in scores) / len(scores)
    for share in (0.5, 0.99):
        assert sum(s >= peers.reached_by(share) for s in scores) >= share * len(scores)


def counted(monkeypatch):
    """Count how often it is made."""
    calls = []

    def counting(*args, **options):
        calls.append(args)
        return leave_one_out(*args, **options)

    monkeypatch.setattr(expectation, "leave_one_out", counting)
    return calls


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_it_is_made_with_the_index_and_kept(path, monkeypatch):
    calls, told = counted(monkeypatch), []
    build_index(open_store(path), progress=lambda *call: told.append(call))
    assert len(calls) == 1
    assert told[-1] == (24, 24)
    store = open_store(path)
    assert same(expectation_of(store), leave_one_out(store))
    build_index(store)
    assert len(calls) == 1
    build_index(store, rebuild=True)
    assert len(calls) == 2


def test_it_is_prepared_with_exact_search_and_no_other(path):
    table = path / "derived" / "leave_one_out" / "table"
    prepare(open_store(path), "ds64")
    assert not table.exists()
    prepare(open_store(path), "dice")
    before = table.read_bytes()
    table.write_bytes(b"")
    prepare(open_store(path), "dice", rebuild=True)
    assert table.read_bytes() == before


def test_it_is_made_anew_where_the_store_has_changed_by_more_than_a_tenth(path, densities, make_tumour, monkeypatch):
    atlas, balls = densities
    build_index(open_store(path))
    calls = counted(monkeypatch)
    for added, made_anew in ((2, 0), (2, 1)):
        with writing(path, "test") as writer:
            writer.commit_tumours([make_tumour(atlas.frame, u, draw=100) for u in balls[:added]], PRIOR)
        build_index(open_store(path))
        assert len(calls) == made_anew
    left = delete(path, 0, 1, 2, 3)
    build_index(left)
    assert len(calls) == 2
    assert len(expectation_of(left).volumes_ml) == 24


def test_of_other_thresholds_it_is_made_anew(store):
    before = expectation_of(store)
    with writing(store.path, "test") as writer:
        writer._publish("other thresholds", thresholds={"whole": 0.4, "core": 0.7})
    other = open_store(store.path)
    assert expectation_of(other) is None, "the index is of other masks, too"
    build_index(other)
    assert expectation_of(other).volumes_ml.sum() < before.volumes_ml.sum()
    assert same(expectation_of(other), leave_one_out(other))


def test_a_small_store_without_it_is_asked_at_once_and_a_large_one_is_not(path, monkeypatch):
    DiceIndex.open(open_store(path))
    monkeypatch.setattr(expectation, "_AT_ONCE", 26)
    assert expectation_of(open_store(path)) is None
    monkeypatch.setattr(expectation, "_AT_ONCE", 27)
    assert len(expectation_of(open_store(path)).volumes_ml) == 24
    monkeypatch.setattr(expectation, "_AT_ONCE", 0)
    assert len(expectation_of(open_store(path)).volumes_ml) == 24, "it is kept"


def test_a_store_without_its_index_is_not_indexed_for_it(path):
    assert expectation_of(open_store(path)) is None
    assert not (path / "derived" / "dice").exists()


def test_where_it_cannot_be_kept_it_is_found_again_but_said_to_who_asks_for_it(path, monkeypatch):
    DiceIndex.open(open_store(path))
    (path / "derived" / "leave_one_out").write_text("")
    store = open_store(path)
    assert same(expectation_of(store), expectation_of(store))
    with pytest.raises(OutputError):
        refresh_expectation(store)


def test_of_searches_that_find_folded_tumours_and_of_old_versions_it_is_not_kept(path):
    DiceIndex.open(open_store(path))
    for snapshot in (open_store(path).with_folded(), open_store(path, open_store(path).version)):
        assert len(expectation_of(snapshot).volumes_ml) == 24
        assert not (path / "derived" / "leave_one_out" / "table").exists()


def test_a_damaged_file_is_said_and_never_used(store):
    table = store.derived / "leave_one_out" / "table"
    before = expectation_of(store)
    assert verify_methods(store) == []
    flip(table, 200)
    assert any(str(table) in line for line in verify_methods(store))
    assert same(expectation_of(store), before)
    assert verify_methods(store) == []


def test_a_wrong_byte_of_the_masks_gives_an_error_never_a_figure(store):
    first = dice_data().refresh(store).segments[store.segments[0].name]
    flip(store.derived / "dice" / "blocks.bin", first.start + first.layout["words"])
    with pytest.raises(DamagedStoreError, match="the masks of tumour 0 are damaged"):
        leave_one_out(store)
