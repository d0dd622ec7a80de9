"""The exact Dice index as a search engine for sparse sets, beside usearch, FAISS and scipy: top 10, one thread.

python benchmarks/set_similarity.py [--sets 74962] [--queries 250]      pip install usearch first

The sets are generated, not downloaded. Their model is kosarak, a click-stream of 990,002 sets of 41,270 items, 8.1 a
set (FIMI repository). Of it ann-benchmarks keeps the sets of 20 items or more: 74,962 to search, of 27,983 items, with
4,167,103 memberships (its issue 607), 55.6 a set. Here the number of sets and items, the smallest size and the mean
size are these. The rest is assumed: sizes follow Pareto's law up to 2,498, items Zipf's with exponent 1, and so is how
items go together: each belongs to one of 200 topics, a set has one topic, and half its draws are from there.

Every item is a voxel, the most frequent first, and a set is the whole mask of a tumour without a core. `DiceIndex`
searches them as it is; only the store is replaced, by ids. Its bound counts what is shared block by block, so its cost
hangs on how many items share a block: 512, as many as it has voxels, or 8, or one. With one, the bound is the answer
and the index an inverted file.

FAISS has no Dice: it finds the nearest by Hamming distance, and they are ranked by Dice. usearch is asked by Jaccard
too: the order is that of Dice, and its kernel for it uses SIMD where that for Sorensen (2.26) does not.

Every system gets its queries in its own form. Turns are of ten queries, after one that is not measured; a system that
has used up its seconds sits the rest out. What is found is held against a scan of all memberships, in integers until
the division: the scores of the sets that an exact system returns must be those of the ten best.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from types import SimpleNamespace

import faiss
import numba
import numpy as np
import usearch.index as usearch
from record import keep
from scipy.sparse import csr_matrix

from gliodex.index import DiceIndex
from gliodex.index.block_masks import BLOCK, DenseMask, SparseMask
from gliodex.index.mask_packing import pack
from gliodex.index.segment_file import PackedSegment

SMALLEST, LARGEST = 20, 2498
SIZE_EXPONENT = 1.47  # gives the mean
TOPICS, FROM_TOPIC = 200, 0.5
SEGMENT = 32_768
TURN = 10
K = 10

Search = Callable[[int], tuple[np.ndarray, np.ndarray, int]]
"""From the number of a query to ids, their Dice as the system tells it, and how many sets were compared one by one."""

Build = Callable[[csr_matrix, csr_matrix], tuple[Search, int]]
"""From sets and queries, one a row, to a search and the bytes in memory that it needs besides the queries."""


@dataclass
class System:
    """A way of searching, and what was measured of it."""

    build: Build
    exact: bool = True
    search: Search | None = None
    bytes: int = 0
    build_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    answers: dict[int, tuple[np.ndarray, np.ndarray, int]] = field(default_factory=dict)


def generate(count: int, universe: int, seed: int) -> csr_matrix:
    """Draw sets without replacement; topics are drawn by their weight, so an item's draws are as its popularity."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, universe + 1)
    topics = rng.integers(TOPICS, size=universe)
    by_topic = np.argsort(topics, kind="stable")
    overall = np.cumsum(popularity)
    within = np.concatenate([[0.0], np.cumsum(popularity[by_topic])])
    edges = within[np.searchsorted(topics[by_topic], np.arange(TOPICS + 1))]
    low, high = SMALLEST**-SIZE_EXPONENT, (LARGEST + 1.0) ** -SIZE_EXPONENT
    sizes = ((low - rng.random(count) * (low - high)) ** (-1 / SIZE_EXPONENT)).astype(int)

    def pick(sums: np.ndarray, low: float, high: float, draws: int) -> np.ndarray:
        return np.minimum(np.searchsorted(sums, low + rng.random(draws) * (high - low)), universe - 1)

    drawn = []
    for size in sizes.tolist():
        topic = topics[pick(overall, 0.0, overall[-1], 1)[0]]
        items = np.zeros(0, int)
        while len(items) < size:
            of_all = pick(overall, 0.0, overall[-1], 4 * size)
            of_topic = by_topic[pick(within[1:], edges[topic], edges[topic + 1], 4 * size)]
            items = np.concatenate([items, np.where(rng.random(4 * size) < FROM_TOPIC, of_topic, of_all)])
            items = items[np.sort(np.unique(items, return_index=True)[1])]
        drawn.append(items[:size])
    items = np.concatenate(drawn)
    number = np.empty(universe, int)
    number[np.argsort(-np.bincount(items, minlength=universe), kind="stable")] = np.arange(universe)
    sets = csr_matrix((np.ones(len(items), np.int32), number[items], np.cumsum([0, *sizes])), (count, universe))
    sets.sort_indices()
    return sets


def statistics(sets: csr_matrix) -> dict[str, object]:
    """Describe what was generated; the slope is that of log frequency on log rank, from the 10th to the 1,000th."""
    sizes, counts = np.diff(sets.indptr), np.sort(np.bincount(sets.indices))[::-1]
    ranks = np.arange(10, 1001)
    return {
        "sets": sets.shape[0],
        "items": int((counts > 0).sum()),
        "memberships": sets.nnz,
        "mean_size": round(float(sizes.mean()), 2),
        "size_quantiles": {f"{q:g}": int(np.quantile(sizes, q)) for q in (0.05, 0.5, 0.95, 0.99, 1)},
        "popularity_slope": round(float(np.polyfit(np.log(ranks), np.log(counts[ranks - 1]), 1)[0]), 3),
        "share_with_commonest_item": round(float(counts[0]) / sets.shape[0], 3),
    }


def dice_index(in_a_block: int) -> Build:
    """Make our index, with so many items in each block of 512 voxels."""

    def build(stored: csr_matrix, queries: csr_matrix) -> tuple[Search, int]:
        blocks = -(-stored.shape[1] // in_a_block)
        shape = (-(-in_a_block // BLOCK**2), min(BLOCK, -(-in_a_block // BLOCK)), BLOCK * blocks)
        core = np.zeros(shape, bool)
        no_core = SparseMask.from_dense(DenseMask.from_mask(core))
        sets = items_of(stored)
        data, packed = bytearray(), []
        for first in range(0, len(sets), SEGMENT):
            masks = [(no_core, packed_set(items, in_a_block)) for items in sets[first : first + SEGMENT]]
            part, layout = pack(masks, blocks)
            packed.append(PackedSegment(len(data), len(part), layout, 0, 0))
            data += part
        ids, frame = np.arange(len(sets)), SimpleNamespace(shape=shape)
        store = SimpleNamespace(frame=frame, ids_in_segments=ids, deleted=np.zeros(len(sets), bool))
        index = DiceIndex(store, np.frombuffer(data, np.uint8), packed)
        asked = [mask(items, in_a_block, shape) for items in items_of(queries)]

        def search(n: int) -> tuple[np.ndarray, np.ndarray, int]:
            hits = index.search(core, asked[n], K)
            return hits.ids, hits.scores, hits.evaluated

        return search, len(data) + ids.nbytes + index._sizes.nbytes

    return build


def items_of(sets: csr_matrix) -> list[np.ndarray]:
    return np.split(sets.indices, sets.indptr[1:-1])


def packed_set(items: np.ndarray, in_a_block: int) -> SparseMask:
    """Pack only the blocks that a set has: what `SparseMask.from_dense` makes of all of them."""
    ids, row = np.unique(items // in_a_block, return_inverse=True)
    place = items % in_a_block
    words = np.zeros((len(ids), BLOCK), np.uint64)
    np.bitwise_or.at(words, (row, place // BLOCK**2), bit_of(place))
    return replace(SparseMask.from_dense(DenseMask.from_words(words)), ids=ids.astype(np.uint16))


def bit_of(places: np.ndarray) -> np.ndarray:
    return np.uint64(1) << (places % 64).astype(np.uint64)


def mask(items: np.ndarray, in_a_block: int, shape: tuple[int, int, int]) -> np.ndarray:
    block, place = np.divmod(items, in_a_block)
    voxels = np.zeros(shape, bool)
    voxels[place // BLOCK**2, place // BLOCK % BLOCK, BLOCK * block + place % BLOCK] = True
    return voxels


def packed_bits(sets: csr_matrix) -> np.ndarray:
    """One bit an item, in whole words of 64, (sets, words)."""
    words = np.zeros((sets.shape[0], -(-sets.shape[1] // 64)), np.uint64)
    rows = np.repeat(np.arange(sets.shape[0]), np.diff(sets.indptr))
    np.bitwise_or.at(words, (rows, sets.indices // 64), bit_of(sets.indices))
    return words


def usearch_exact(metric: usearch.MetricKind) -> Build:
    """Make usearch's exhaustive search over packed bits."""

    def build(stored: csr_matrix, queries: csr_matrix) -> tuple[Search, int]:
        bits, asked = packed_bits(stored).view(np.uint8), packed_bits(queries).view(np.uint8)

        def search(n: int) -> tuple[np.ndarray, np.ndarray, int]:
            found = usearch.search(bits, asked[n], K, metric, exact=True, threads=1, dtype="b1")
            alike = 1 - found.distances.astype(float)
            dice = 2 * alike / (1 + alike) if metric == usearch.MetricKind.Jaccard else alike
            return found.keys.astype(np.int64), dice, len(bits)

        return search, bits.nbytes

    return build


def faiss_hamming(ranked: int) -> Build:
    """Make FAISS's exhaustive search by Hamming distance; so many of the nearest are ranked by Dice."""

    def build(stored: csr_matrix, queries: csr_matrix) -> tuple[Search, int]:
        bits, asked = packed_bits(stored), packed_bits(queries)
        sizes, query_sizes = np.diff(stored.indptr), np.diff(queries.indptr)
        index = faiss.IndexBinaryFlat(64 * bits.shape[1])
        index.add(bits.view(np.uint8))
        own = faiss.rev_swig_ptr(index.xb.data(), bits.nbytes).view(np.uint64).reshape(bits.shape)

        def search(n: int) -> tuple[np.ndarray, np.ndarray, int]:
            ids = index.search(asked[n : n + 1].view(np.uint8), min(ranked, len(own)))[1][0]
            shared = np.bitwise_count(own[ids] & asked[n]).sum(axis=1, dtype=np.int64)
            scores = 2.0 * shared / (sizes[ids] + query_sizes[n])
            best = np.argsort(-scores, kind="stable")[:K]
            return ids[best], scores[best], len(own)

        return search, bits.nbytes + sizes.nbytes

    return build


def scipy_product(stored: csr_matrix, queries: csr_matrix) -> tuple[Search, int]:
    """Make a search by the product of sparse matrices: a query times all sets."""
    items, asked = stored.T.tocsr(), [queries[n] for n in range(queries.shape[0])]
    sizes = np.diff(stored.indptr)

    def search(n: int) -> tuple[np.ndarray, np.ndarray, int]:
        shared = asked[n] @ items
        scores = np.zeros(len(sizes))
        scores[shared.indices] = 2.0 * shared.data / (sizes[shared.indices] + asked[n].nnz)
        best = np.argpartition(-scores, K)[:K]
        best = best[np.argsort(-scores[best])]
        return best, scores[best], shared.nnz

    return search, sum(array.nbytes for array in (items.data, items.indices, items.indptr, sizes))


def take_turns(systems: dict[str, System], queries: int, rounds: int, budget: float, seed: int) -> None:
    """Ask all systems all queries, in an order drawn anew for every turn."""
    rng = np.random.default_rng(seed)
    turns = [range(first, min(first + TURN, queries)) for _ in range(rounds) for first in range(0, queries, TURN)]
    for turn in turns:
        for name in rng.permutation(list(systems)):
            system = systems[name]
            if sum(system.seconds) < budget:
                system.search(turn[-1])
            for n in turn:
                if sum(system.seconds) >= budget:
                    break
                begun = time.perf_counter()
                system.answers[n] = system.search(n)
                system.seconds.append(time.perf_counter() - begun)


def dice_of_all(stored: csr_matrix, query: np.ndarray) -> np.ndarray:
    """Compare a query with all sets by brute force."""
    wanted = np.zeros(stored.shape[1], bool)
    wanted[query] = True
    shared = np.add.reduceat(wanted[stored.indices], stored.indptr[:-1], dtype=np.int64)
    return 2.0 * shared / (np.diff(stored.indptr) + len(query))


def judge(systems: dict[str, System], stored: csr_matrix, queries: csr_matrix) -> dict[str, object]:
    """Hold all answers against brute force.

    Raises:
        AssertionError: an exact system did not find the best.
    """
    truth = []
    recall, error = ({name: [] for name in systems} for _ in range(2))
    for n, query in enumerate(items_of(queries)):
        scores = dice_of_all(stored, query)
        best = np.sort(scores)[: -K - 1 : -1]
        truth.append(best)
        for name, system in systems.items():
            if n in system.answers:
                ids, told, _ = system.answers[n]
                found = np.sort(scores[ids])[::-1]
                assert len(np.unique(ids)) == K, (name, n)
                assert not system.exact or np.array_equal(found, best), (name, n, found, best)
                recall[name].append((found >= best[-1]).mean())
                error[name].append(np.abs(told - scores[ids]).max())
    first, *_, last = np.mean(truth, axis=0)
    return {
        "mean_dice_of_best": round(float(first), 4),
        "mean_dice_of_tenth": round(float(last), 4),
        "systems": {name: figures(system, recall[name], error[name]) for name, system in systems.items()},
    }


def figures(system: System, recall: list[float], error: list[float]) -> dict[str, object]:
    seconds = np.array(system.seconds)
    return {
        "exact": system.exact,
        "recall_at_10": round(float(np.mean(recall)), 4),
        "largest_error_of_a_score": float(f"{max(error):.2g}"),
        "build_s": round(system.build_seconds, 2),
        "bytes": system.bytes,
        "queries": len(system.answers),
        "measured": len(seconds),
        "median_ms": round(float(np.median(seconds)) * 1e3, 2),
        "p95_ms": round(float(np.quantile(seconds, 0.95)) * 1e3, 2),
        "queries_per_second": round(len(seconds) / float(seconds.sum()), 2),
        "median_compared": float(np.median([compared for _, _, compared in system.answers.values()])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=74_962)
    parser.add_argument("--items", type=int, default=27_983)
    parser.add_argument("--queries", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="of measured searches, for each system")
    parser.add_argument("--ranked", type=int, default=1000, help="nearest by Hamming distance that are ranked by Dice")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    faiss.omp_set_num_threads(1)
    numba.set_num_threads(1)

    sets = generate(arguments.queries + arguments.sets, arguments.items, arguments.seed)
    queries, stored = sets[: arguments.queries], sets[arguments.queries :]
    systems = {
        "gliodex, 512 items a block": System(dice_index(512)),
        "gliodex, 8 items a block": System(dice_index(8)),
        "gliodex, 1 item a block": System(dice_index(1)),
        "usearch, exact, Sorensen": System(usearch_exact(usearch.MetricKind.Sorensen)),
        "usearch, exact, Jaccard": System(usearch_exact(usearch.MetricKind.Jaccard)),
        f"FAISS, Hamming, {arguments.ranked} ranked by Dice": System(faiss_hamming(arguments.ranked), exact=False),
        "scipy, sparse product": System(scipy_product),
    }
    for system in systems.values():
        begun = time.perf_counter()
        system.search, system.bytes = system.build(stored, queries)
        system.build_seconds = time.perf_counter() - begun
    take_turns(systems, arguments.queries, arguments.rounds, arguments.seconds, arguments.seed)
    keep(
        "set_similarity",
        {
            "data": "generated after kosarak (ann-benchmarks: 74,962 sets, 27,983 items, mean size 55.6)",
            **statistics(stored),
            "held_out_queries": arguments.queries,
            "k": K,
            "rounds": arguments.rounds,
            "seconds_at_most": arguments.seconds,
            "seed": arguments.seed,
            "threads": 1,
            "others": {p: version(p) for p in ("usearch", "faiss-cpu", "scipy")},
            **judge(systems, stored, queries),
        },
        f"python benchmarks/set_similarity.py --sets {arguments.sets} --queries {arguments.queries}",
    )


if __name__ == "__main__":
    main()
