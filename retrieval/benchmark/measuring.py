"""Asking one way of searching all queries, in a process of its own on one core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import GliodexError
from ...store.reader import TumorStore
from .query_sets import QuerySet
from .ways import Way

HITS = 15
"""Hits that are asked for."""

COLD_STARTS = 3

_ENCODED = 100


@dataclass(frozen=True)
class Answers:
    """What a way of searching answered to the queries of all sets, one set after another.

    Args:
        ids: of the hits, (queries, HITS); -1 where there are fewer.
        scores: Dice sums of the hits, (queries, HITS); -1 where there are fewer.
        seconds: of each query, from masks to hits, (queries,).
        encoding: seconds of describing the masks alone, of the first queries.
        evaluated: tumours whose masks were compared voxel by voxel, (queries,).
        cold: seconds from the start of a process to its first answer, (COLD_STARTS,).
        memory: bytes by which a process grew from before it opened the index to after all queries.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    seconds: NDArray[np.float64]
    encoding: NDArray[np.float64]
    evaluated: NDArray[np.int64]
    cold: NDArray[np.float64]
    memory: int


def ask(store: TumorStore, way: Way, sets: list[QuerySet]) -> Answers:
    """Ask a way of searching all queries; what it needs must have been prepared.

    Raises:
        GliodexError: the process that searches failed.
    """
    queries = [query for query_set in sets for query in query_set.queries]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "queries.npy", Path(folder) / "answers.npz"
        np.save(given, np.stack([np.packbits(np.stack(query)) for query in queries]))
        cold = []
        for last in [False] * (COLD_STARTS - 1) + [True]:
            begun = time.time()
            _in_own_process(store, way, given, found, everything=last)
            with np.load(found) as answers:
                cold.append(float(answers["first"]) - begun)
        with np.load(found) as answers:
            return Answers(
                answers["ids"],
                answers["scores"],
                answers["seconds"],
                answers["encoding"],
                answers["evaluated"],
                np.array(cold),
                int(answers["memory"]),
            )


def _in_own_process(store: TumorStore, way: Way, given: Path, found: Path, *, everything: bool) -> None:
    place = [str(store.path), str(store.version), way.method, way.engine, str(way.rerank)]
    command = [sys.executable, "-m", "gliodex.retrieval.benchmark.one_core", *place, str(given), str(found)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, "all" if everything else "first"], capture_output=True, text=True, check=False, env=environment
    )
    if run.returncode:
        raise GliodexError(f"searching by {way.name} failed: {run.stderr.strip()[-2000:]}")


def write_answers(arguments: list[str]) -> None:
    """Answer queries from a file: what the process of its own does, after it has pinned itself to a core."""
    from ...index import DiceIndex, open_retriever
    from ...index.candidates import CandidateRetriever
    from ...store.reader import open_store

    path, version, method, engine, rerank, given, found, how_many = arguments
    store = open_store(path, int(version))
    shape = (2, *store.frame.shape)
    packed = np.load(given, mmap_mode="r")

    def masks(n: int) -> NDArray[np.bool_]:
        return np.unpackbits(packed[n], count=int(np.prod(shape))).reshape(shape).view(np.bool_)

    core, whole = masks(0)
    before = _resident()
    retriever = open_retriever(store, method, engine=engine, rerank=int(rerank))
    retriever.search(core, whole, HITS)
    first = time.time()
    queries = len(packed) if how_many == "all" else 0
    ids, scores = np.full((queries, HITS), -1), np.full((queries, HITS), -1.0)
    seconds, evaluated = np.zeros(queries), np.zeros(queries, np.int64)
    for n in range(queries):
        core, whole = masks(n)
        begun = time.perf_counter()
        hits = retriever.search(core, whole, HITS)
        seconds[n] = time.perf_counter() - begun
        ids[n, : len(hits)], scores[n, : len(hits)] = hits.ids, hits.dice_core + hits.dice_whole
        evaluated[n] = hits.evaluated
    memory = _resident() - before
    encode = (retriever.candidates if isinstance(retriever, CandidateRetriever) else DiceIndex.open(store)).encode
    encoding = np.zeros(min(queries, _ENCODED))
    for n in range(len(encoding)):
        core, whole = masks(n)
        begun = time.perf_counter()
        encode(core, whole)
        encoding[n] = time.perf_counter() - begun
    np.savez(
        found,
        ids=ids,
        scores=scores,
        seconds=seconds,
        encoding=encoding,
        evaluated=evaluated,
        first=first,
        memory=memory,
    )


def _resident() -> int:
    """Bytes of this process in memory, mapped files included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else 0
    return pages * os.sysconf("SC_PAGE_SIZE")
