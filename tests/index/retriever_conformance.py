"""What every retriever must hold, exact or approximate: inherit `RetrieverTests` and say how it is opened."""

from abc import ABC, abstractmethod

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.store import EncodedTumour, GrowthParameters, open_store, writing


def dice(a, b):
    """Dice of two masks in float64; 0 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 0.0


def masks_of(store, tumour):
    """(core, whole) of a tumour, straight from its density."""
    density = store.density(tumour)
    return density >= np.float32(store.thresholds["core"]), density >= np.float32(store.thresholds["whole"])


def brute_force(store, core, whole):
    """All tumours, best first: ids, scores, Dice of core, Dice of whole."""
    rows = []
    for tumour in store.ids.tolist():
        its_core, its_whole = masks_of(store, tumour)
        dices = dice(core, its_core), dice(whole, its_whole)
        rows.append((-(dices[0] + dices[1]), tumour, *dices))
    rows.sort()
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return columns[1].astype(np.int64), -columns[0], columns[2], columns[3]


def population(frame, ball, count, seed=0):
    """Densities of every awkward kind, filled up with balls to `count`."""
    rng = np.random.default_rng(seed)
    extent = np.array(frame.shape)
    empty = np.zeros(frame.shape, np.float32)
    corner, last = empty.copy(), empty.copy()
    corner[0, 0, 0] = 1
    last[-1, -1, -1] = 0.7
    twin = ball(frame, frame.world(extent / 2), 20)
    faint = ball(frame, frame.world(extent / 3), 25, peak=0.5)
    special = [twin, empty, faint, np.ones(frame.shape, np.float32), corner, last, twin, faint]
    reach = min(frame.shape) * frame.spacing[0] / 2
    balls = [
        ball(frame, frame.world(rng.uniform(0, extent)), rng.uniform(0.2, 1.0) * reach, rng.uniform(0.3, 1.0))
        for _ in range(count - len(special))
    ]
    return [*balls[: len(balls) // 2], *special, *balls[len(balls) // 2 :]]


def queries(store, seed=0):
    """(core, whole) pairs: own masks, shifted ones, noise, and empty, full and single-voxel combinations."""
    rng = np.random.default_rng(seed)
    shape = store.frame.shape
    empty, full, corner = np.zeros(shape, bool), np.ones(shape, bool), np.zeros(shape, bool)
    corner[0, 0, 0] = True
    pairs = [
        (empty, empty),
        (empty, full),
        (full, empty),
        (full, full),
        (corner, corner),
        (corner[::-1, ::-1, ::-1], corner[::-1, ::-1, ::-1]),
        (rng.random(shape) < 0.1, rng.random(shape) < 0.4),
    ]
    for tumour in store.ids[:: max(1, len(store) // 4)]:
        core, whole = masks_of(store, tumour)
        shifted = tuple(np.roll(mask, (1, -2, 1), axis=(0, 1, 2)) for mask in (core, whole))
        pairs += [(core, whole), (empty, whole), shifted]
    return [tuple(np.ascontiguousarray(m) for m in pair) for pair in pairs]


def grow(path, frame, densities):
    """Add one segment of densities to the store at `path`."""
    thresholds = open_store(path).thresholds
    parameters = GrowthParameters((0, 0, 0), 0.1, 0.1, 100)
    tumours = [EncodedTumour.from_density(u, frame, parameters, thresholds) for u in densities]
    with writing(path, "test") as writer:
        writer.commit_tumours(tumours, {"method": "test"})


def assert_same_hits(hits, expected):
    for name in ("ids", "scores", "dice_core", "dice_whole"):
        np.testing.assert_array_equal(getattr(hits, name), getattr(expected, name))


class RetrieverTests(ABC):
    """Inherit, and define `open` and `rebuild`; raise `atlas_shape` where a method needs a larger grid."""

    atlas_shape = (20, 17, 11)

    @abstractmethod
    def open(self, store):
        """Open the retriever of a snapshot, bringing its derived data up to it."""

    @abstractmethod
    def rebuild(self, store):
        """Open the retriever of a snapshot from derived data made anew."""

    @pytest.fixture
    def atlas(self, make_atlas):
        return make_atlas(self.atlas_shape)

    @pytest.fixture
    def store(self, atlas, make_store, ball):
        densities = population(atlas.frame, ball, 20)
        return open_store(make_store(atlas, densities[:11], densities[11:]))

    def test_dice_values_are_those_of_the_densities(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=7)
            for tumour, core_dice, whole_dice in zip(hits.ids, hits.dice_core, hits.dice_whole, strict=True):
                its_core, its_whole = masks_of(store, int(tumour))
                assert core_dice == dice(core, its_core)
                assert whole_dice == dice(whole, its_whole)

    def test_hits_are_columns_of_one_length_and_type(self, store):
        core, whole = masks_of(store, 3)
        hits = self.open(store).search(core, whole, k=6)
        assert len(hits) == 6
        assert hits.ids.dtype == np.int64
        for name in ("scores", "dice_core", "dice_whole"):
            column = getattr(hits, name)
            assert column.dtype == np.float64
            assert column.shape == (6,)
        assert 6 <= hits.evaluated <= len(store)

    def test_the_best_come_first_and_ties_are_in_the_order_of_ids(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=len(store))
            order = np.lexsort((hits.ids, -hits.scores))
            np.testing.assert_array_equal(order, np.arange(len(store)))

    def test_twins_are_both_found_with_equal_scores_lower_id_first(self, store):
        by_content = {}
        for tumour in store.ids.tolist():
            by_content.setdefault(store.integers(tumour).tobytes(), []).append(tumour)
        pairs = [ids for ids in by_content.values() if len(ids) == 2]
        assert pairs
        retriever = self.open(store)
        for first, second in pairs:
            hits = retriever.search(*masks_of(store, first), k=len(store))
            places = {int(tumour): place for place, tumour in enumerate(hits.ids)}
            assert hits.scores[places[first]] == hits.scores[places[second]]
            assert places[first] < places[second]

    def test_a_larger_k_than_the_store_gives_every_tumour_once(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            for k in (len(store), len(store) + 5):
                assert sorted(retriever.search(core, whole, k=k).ids.tolist()) == store.ids.tolist()

    def test_fewer_hits_are_the_beginning_of_more(self, store):
        retriever = self.open(store)
        core, whole = masks_of(store, 2)
        more = retriever.search(core, whole, k=len(store))
        for k in (1, 2, 15):
            np.testing.assert_array_equal(retriever.search(core, whole, k=k).ids, more.ids[:k])

    def test_the_same_query_gives_the_same_hits(self, store):
        retriever = self.open(store)
        again = self.open(open_store(store.path))
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=9)
            assert_same_hits(retriever.search(core, whole, k=9), hits)
            assert_same_hits(again.search(core.copy(order="F"), whole.copy(order="F"), k=9), hits)

    def test_searching_does_not_change_the_masks(self, store):
        core, whole = masks_of(store, 1)
        before = core.copy(), whole.copy()
        self.open(store).search(core, whole)
        np.testing.assert_array_equal(core, before[0])
        np.testing.assert_array_equal(whole, before[1])

    def test_empty_masks_have_a_dice_of_zero_with_everything(self, store):
        empty = np.zeros(store.frame.shape, bool)
        hits = self.open(store).search(empty, empty, k=5)
        assert len(hits) == 5
        assert not hits.dice_core.any()
        assert not hits.dice_whole.any()

    def test_full_masks_have_a_dice_of_one_with_a_full_tumour(self, store):
        full = np.ones(store.frame.shape, bool)
        hits = self.open(store).search(full, full, k=len(store))
        best = int(np.argmax(hits.dice_core + hits.dice_whole))
        assert (hits.dice_core[best], hits.dice_whole[best]) == (1.0, 1.0)
        assert all(masks.all() for masks in masks_of(store, int(hits.ids[best])))

    def test_a_grown_store_gives_what_a_rebuild_gives(self, store, ball):
        self.open(store)
        frame = store.frame
        grow(store.path, frame, [ball(frame, frame.world([6, 5, 4]), 25), np.zeros(frame.shape, np.float32)])
        grow(store.path, frame, [ball(frame, frame.world([12, 9, 6]), 30)])
        grown = open_store(store.path)
        assert len(grown) == len(store) + 3
        refreshed = [self.open(grown).search(*query, k=len(grown)) for query in queries(grown)]
        anew = [self.rebuild(grown).search(*query, k=len(grown)) for query in queries(grown)]
        for hits, expected in zip(refreshed, anew, strict=True):
            assert_same_hits(hits, expected)

    def test_an_older_snapshot_never_returns_a_newer_tumour(self, store, ball):
        query = masks_of(store, 4)
        before = self.open(store).search(*query, k=len(store) + 5)
        density = store.density(4)
        grow(store.path, store.frame, [density, density])
        newest = open_store(store.path)
        assert newest.ids[-1] in self.open(newest).search(*query, k=len(newest)).ids
        older = open_store(store.path, store.version)
        for snapshot in (store, older):
            assert_same_hits(self.open(snapshot).search(*query, k=len(newest)), before)

    def test_a_retriever_keeps_its_snapshot_while_the_store_grows(self, store):
        query = masks_of(store, 4)
        retriever = self.open(store)
        before = retriever.search(*query, k=len(store))
        grow(store.path, store.frame, [store.density(4)])
        self.open(open_store(store.path))
        assert_same_hits(retriever.search(*query, k=len(store) + 5), before)

    def test_an_empty_store_has_no_hits(self, atlas, make_store):
        store = open_store(make_store(atlas))
        mask = np.ones(store.frame.shape, bool)
        hits = self.open(store).search(mask, mask, k=3)
        assert len(hits) == len(hits.scores) == len(hits.dice_core) == len(hits.dice_whole) == 0

    @pytest.mark.parametrize("k", [0, -3])
    def test_a_k_below_one_is_refused(self, store, k):
        mask = np.ones(store.frame.shape, bool)
        with pytest.raises(InputError, match="k must be at least 1"):
            self.open(store).search(mask, mask, k=k)

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
    @pytest.mark.parametrize("which", ["core", "whole"])
    def test_a_mask_that_is_not_boolean_is_refused_by_name(self, store, dtype, which):
        masks = {name: np.ones(store.frame.shape, bool) for name in ("core", "whole")}
        masks[which] = masks[which].astype(dtype)
        with pytest.raises(InputError, match=f"{which} must be a boolean"):
            self.open(store).search(**masks)

    @pytest.mark.parametrize("which", ["core", "whole"])
    def test_a_mask_off_the_frame_is_refused_by_name(self, store, which):
        masks = {name: np.ones(store.frame.shape, bool) for name in ("core", "whole")}
        masks[which] = masks[which][1:]
        with pytest.raises(InputError, match=f"{which} must be a boolean array on the store's frame"):
            self.open(store).search(**masks)
