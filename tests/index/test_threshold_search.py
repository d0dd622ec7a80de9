import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import DamagedStoreError, InputError
from gliodex.index import open_retriever, prepare, verify_methods
from gliodex.index.block_histograms import CORE_LEVELS, WHOLE_LEVELS, LevelCounts
from gliodex.index.threshold_search import ThresholdSearch
from gliodex.store import open_store

from ..store.breaking import flip
from .brute_force import assert_same_hits, dice, masks_of, population, queries, run_of
from .retriever_conformance import RetrieverTests

USUAL = (2457, 819)


def at_best(store, tumour, core, whole):
    """Best Dice of each mask and its level: all levels, each counted in the sorted voxels."""
    integers, found = store.integers(tumour), []
    everywhere = np.sort(integers, axis=None)
    for query, of_levels, usual in ((core, CORE_LEVELS, USUAL[0]), (whole, WHOLE_LEVELS, USUAL[1])):
        levels, inside = np.arange(of_levels[0], of_levels[-1] + 1), np.sort(integers[query])
        reached, shared = (len(sample) - np.searchsorted(sample, levels) for sample in (everywhere, inside))
        rows = []
        for level, total, common in zip(
            levels.tolist(), (reached + len(inside)).tolist(), shared.tolist(), strict=True
        ):
            rows.append((2.0 * common / total if total else 0.0, -abs(level - usual), -level))
        best = max(rows)
        found.append((best[0], -best[2]))
    return found


def brute_force(store, core, whole):
    """All tumours, best first: negative scores, ids, both Dice values, both thresholds."""
    rows = []
    for tumour in store.ids.tolist():
        (core_dice, core_level), (whole_dice, whole_level) = at_best(store, tumour, core, whole)
        rows.append((-(core_dice + whole_dice), tumour, core_dice, whole_dice, core_level, whole_level))
    rows.sort()
    return np.array(rows).T


class TestThresholdSearchConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, search_thresholds=True)

    def rebuild(self, store):
        prepare(store, "thresholds", rebuild=True)
        return self.open(store)

    def test_dice_values_are_those_of_the_densities(self, store):
        """At the thresholds that were found."""
        retriever = self.open(store)
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=7)
            assert hits.thresholds.shape == (2, 7)
            for n, tumour in enumerate(hits.ids.tolist()):
                density = store.density(tumour)
                its_core, its_whole = (density >= np.float32(t) for t in hits.thresholds[:, n])
                assert hits.dice_core[n] == dice(core, its_core)
                assert hits.dice_whole[n] == dice(whole, its_whole)


@pytest.fixture(scope="module")
def store(make_atlas, make_store, ball):
    """Forty tumours that fall off over many voxels, and all awkward kinds."""
    atlas = make_atlas((22, 18, 17), spacing=4.0)
    rng = np.random.default_rng(4)
    frame, soft = atlas.frame, []
    points = np.moveaxis(np.indices(frame.shape), 0, -1)
    for _ in range(32):
        distance = np.linalg.norm(points - rng.uniform(4, 14, 3), axis=-1)
        soft.append(rng.uniform(0.3, 1) / (1 + np.exp((distance - rng.uniform(1, 6)) * rng.uniform(0.4, 2))))
    soft = [u.astype(np.float32) for u in soft]
    return open_store(make_store(atlas, [*population(frame, ball, 10), *soft[:15]], soft[15:]))


class TestAgainstBruteForce:
    @pytest.mark.parametrize("k", [1, 5, 100])
    def test_ids_scores_and_thresholds(self, store, k, monkeypatch):
        monkeypatch.setattr("gliodex.index.threshold_search._TOGETHER", 2)
        search = ThresholdSearch.open(store)
        few = 0
        for core, whole in queries(store):
            scores, ids, core_dice, whole_dice, core_level, whole_level = brute_force(store, core, whole)[:, :k]
            hits = search.search(core, whole, k=k)
            assert hits.ids.tolist() == ids.tolist()
            np.testing.assert_array_equal(hits.scores, -scores)
            np.testing.assert_array_equal(hits.dice_core, core_dice)
            np.testing.assert_array_equal(hits.dice_whole, whole_dice)
            np.testing.assert_array_equal(hits.thresholds * 4095, [core_level, whole_level])
            few += hits.evaluated < len(store) / 2
        assert few or k > 5

    def test_distinct(self, store):
        core, whole = masks_of(store, 12)
        hits = ThresholdSearch.open(store).search(core, whole, k=4, distinct=True)
        assert len({run_of(store, tumour) for tumour in hits.ids.tolist()}) == 4
        assert_same_hits(hits, ThresholdSearch.open(store).search(core, whole, k=4))

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 10**6), share=st.floats(0, 1))
    def test_any_masks(self, store, seed, share):
        rng = np.random.default_rng(seed)
        core, whole = (rng.random(store.frame.shape) < share * rng.random() for _ in range(2))
        hits = ThresholdSearch.open(store).search(core, whole, k=3)
        expected = brute_force(store, core, whole)[:, :3]
        assert hits.ids.tolist() == expected[1].tolist()
        np.testing.assert_array_equal(hits.scores, -expected[0])


def test_found_thresholds_beat_the_fixed_ones(store):
    fixed, free = open_retriever(store), open_retriever(store, search_thresholds=True)
    for core, whole in queries(store):
        assert free.search(core, whole, k=1).scores[0] >= fixed.search(core, whole, k=1).scores[0]


def test_an_outline_at_another_density_is_recognised(store):
    """A tumour cut at densities that nobody told is found with them."""
    search = ThresholdSearch.open(store)
    for tumour in store.ids[25:]:
        integers = store.integers(int(tumour))
        core, whole = integers >= 3200, integers >= 400
        if core.any():
            hits = search.search(core, whole, k=1)
            assert hits.scores[0] == 2
            cut = [integers >= round(t * 4095) for t in hits.thresholds[:, 0]]
            if hits.ids[0] == tumour:
                np.testing.assert_array_equal(cut[0], core)
                np.testing.assert_array_equal(cut[1], whole)


class TestLevelCounts:
    @pytest.mark.parametrize("levels", [CORE_LEVELS, WHOLE_LEVELS, (1,), (1, 4095)], ids=len)
    def test_counts_are_those_of_every_block(self, levels):
        rng = np.random.default_rng(1)
        integers = (rng.random((19, 16, 9)) ** 3 * 4096).astype(np.uint16)
        integers[:3] = 0
        found = LevelCounts.of(integers, levels, (3, 0, 0), integers.shape)
        padded = np.pad(integers, [(0, -n % 8) for n in integers.shape])
        grid = [n // 8 for n in padded.shape]
        blocks = padded.reshape(grid[0], 8, grid[1], 8, grid[2], 8).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 512)
        expected = np.array([(blocks >= level).sum(axis=1) for level in levels]).T
        some = np.flatnonzero(expected[:, 0])
        np.testing.assert_array_equal(found.blocks, some)
        np.testing.assert_array_equal(found.counts, np.minimum(-(-expected[some] // 2), 255))
        np.testing.assert_array_equal(found.sizes, expected.sum(axis=0))

    def test_levels_rise_from_the_lowest_to_the_highest_allowed(self):
        for levels, (lowest, highest) in ((CORE_LEVELS, (0.5, 0.85)), (WHOLE_LEVELS, (0.05, 0.5))):
            assert list(levels) == sorted(set(levels))
            assert (levels[0] - 1) / 4095 < lowest <= levels[0] / 4095
            assert (levels[-1] - 1) / 4095 < highest <= levels[-1] / 4095


def test_only_exact_search_finds_thresholds(store):
    with pytest.raises(InputError, match="thresholds are searched by exact Dice: leave out index=ds64"):
        open_retriever(store, "ds64", search_thresholds=True)


def test_damaged_counts_are_noticed(make_atlas, make_store, ball):
    atlas = make_atlas((12, 9, 10))
    store = open_store(make_store(atlas, population(atlas.frame, ball, 9)))
    ThresholdSearch.open(store)
    flip(store.derived / "thresholds" / "blocks.bin", 100)
    with pytest.raises(DamagedStoreError, match="with index=thresholds, rebuild"):
        ThresholdSearch.open(store)
    assert len(verify_methods(store)) == 1
    prepare(store, "thresholds", rebuild=True)
    assert len(ThresholdSearch.open(store)) == 9
