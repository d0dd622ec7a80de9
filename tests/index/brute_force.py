"""Stores of awkward tumours, and what a search of them must give: every tumour compared, in float64."""

import numpy as np

from gliodex.index import Hits
from gliodex.store import EncodedTumour, GrowthParameters, open_store, writing


def dice(a, b):
    """Dice of two masks in float64; 0 where both are empty."""
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else 0.0


def masks_of(store, tumour):
    """(core, whole) of a tumour, straight from its density."""
    density = store.density(tumour)
    return density >= np.float32(store.thresholds["core"]), density >= np.float32(store.thresholds["whole"])


def brute_force(store, core, whole, *, distinct=False, without=()):
    """All tumours but some, best first, of each simulation the best alone: ids, scores, Dice of core, Dice of whole."""
    rows = []
    for tumour in store.ids.tolist():
        if tumour not in without:
            its_core, its_whole = masks_of(store, tumour)
            dices = dice(core, its_core), dice(whole, its_whole)
            rows.append((-(dices[0] + dices[1]), tumour, *dices))
    rows.sort()
    if distinct:
        best = {}
        for row in rows:
            best.setdefault(run_of(store, row[1]), row)
        rows = list(best.values())
    columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
    return columns[1].astype(np.int64), -columns[0], columns[2], columns[3]


def run_of(store, tumour):
    """What the simulation of a tumour is known by: its campaign and draw, or the tumour itself where nobody drew it."""
    told = store.provenance(tumour)
    return (told["campaign"], told["draw"]) if told["draw"] >= 0 and "campaign" in told else tumour


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


def commit_drawn(path, frame, campaign, densities, draws):
    """Add one segment of a campaign to the store at `path`: densities and the draws that gave them."""
    thresholds = open_store(path).thresholds
    parameters = GrowthParameters((0, 0, 0), 0.1, 0.1, 100)
    tumours = [
        EncodedTumour.from_density(u, frame, parameters, thresholds, draw)
        for u, draw in zip(densities, draws, strict=True)
    ]
    with writing(path, "test") as writer:
        writer.commit_tumours(tumours, {"kind": "prior", "campaign": campaign})


def delete(path, *tumours):
    """Publish a version without some tumours; returns it."""
    with writing(path, "test") as writer:
        writer.delete(tumours)
    return open_store(path)


def simulations(atlas, make_store, ball):
    """Path of a store of 27 tumours in five segments: 17 of simulations, all the awkward kinds, 10 of none.

    Simulations have one to four tumours, run across segments, have equal tumours among them and with others, and two
    campaigns share the numbers of draws. Tumours of no simulation have equal ones, too.
    """
    frame = atlas.frame
    path = make_store(atlas)
    a, b, c = (population(frame, ball, n, seed) for n, seed in ((10, 1), (8, 2), (9, 3)))
    twin = a[1]
    commit_drawn(path, frame, "one", a[:6], [0, 0, 0, 2, 3, 3])
    commit_drawn(path, frame, "one", [twin, *a[6:]], [3, 3, 5, 6, 6])
    grow(path, frame, [twin, *b[:4]])
    commit_drawn(path, frame, "two", [twin, twin, *b[4:]], [0, 0, 3, 3, 3, 9])
    grow(path, frame, [c[0], c[0], twin, c[1], c[2]])
    return path


def runs_in(store):
    return len({run_of(store, tumour) for tumour in store.ids.tolist()})


def assert_same_hits(hits, expected):
    for name in ("ids", "scores", "dice_core", "dice_whole"):
        np.testing.assert_array_equal(getattr(hits, name), getattr(expected, name))


def expect_exact(index, store, core, whole, k, *, distinct=False):
    expected = (column[:k] for column in brute_force(store, core, whole, distinct=distinct))
    hits = index.search(core, whole, k=k, distinct=distinct)
    assert_same_hits(hits, Hits(*expected, 0))
    return hits
