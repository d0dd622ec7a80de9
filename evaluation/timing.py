"""Asking one way of searching all queries, in a process of its own on one core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GliodexError
from ..index import DiceIndex, Retriever, open_retriever
from ..index.approximate import CandidateRetriever
from ..store.reader import TumorStore, open_store
from .held_out_sets import Mask, QuerySet, unpacked
from .retrieval_methods import Way

HITS = 15
"""Hits that are asked for."""

COLD_STARTS = 3


@dataclass(frozen=True)
class Answers:
    """What a way of searching answered to the queries of all sets, one set after another.

    Args:
        ids: of the hits, (queries, HITS); -1 where there are fewer.
        scores: Dice sums of the hits, (queries, HITS); -1 where there are fewer.
        seconds: of each query, from masks to ranked ids, (queries,).
        encoding: of these, for describing the masks, (queries,).
        evaluated: tumours whose masks were compared voxel by voxel to rank them, (queries,).
        cold: seconds from the start of a process to its first answer, (COLD_STARTS,).
        memory: bytes by which the process at most grew from before it opened the index; None where the system does not
            tell.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    seconds: NDArray[np.float64]
    encoding: NDArray[np.float64]
    evaluated: NDArray[np.int64]
    cold: NDArray[np.float64]
    memory: int | None


def ask(store: TumorStore, way: Way, sets: list[QuerySet]) -> Answers:
    """Ask a way of searching all queries; what it needs must have been prepared.

    Raises:
        GliodexError: the process that searches failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "queries.npy", Path(folder) / "answers.npz"
        np.save(given, np.stack([packed for query_set in sets for packed in query_set.packed]))
        cold = []
        for last in [False] * (COLD_STARTS - 1) + [True]:
            begun = time.time()
            _in_own_process(store, way, given, found, everything=last)
            with np.load(found) as answers:
                cold.append(float(answers["first"]) - begun)
        with np.load(found) as answers:
            memory = int(answers["memory"])
            return Answers(
                answers["ids"],
                answers["scores"],
                answers["seconds"],
                answers["encoding"],
                answers["evaluated"],
                np.array(cold),
                memory if memory >= 0 else None,
            )


def _in_own_process(store: TumorStore, way: Way, given: Path, found: Path, *, everything: bool) -> None:
    place = [str(store.path), str(store.version), way.method, way.engine, str(way.rerank)]
    command = [sys.executable, "-m", "gliodex.evaluation.timing_worker", *place, str(given), str(found)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, "all" if everything else "first"], capture_output=True, text=True, check=False, env=environment
    )
    if run.returncode:
        said = (run.stderr.strip().splitlines() or [f"its process ended with {run.returncode}, short of memory?"])[-1]
        raise GliodexError(f"searching by {way.name} failed: {said}")


def write_answers(arguments: list[str]) -> None:
    """Answer queries from a file: what the process of its own does, after it has pinned itself to a core."""
    path, version, method, engine, rerank, given, found, how_many = arguments
    store = open_store(path, int(version))
    packed = np.load(given, mmap_mode="r")
    before = _most_resident()
    search = _searcher(open_retriever(store, method, engine=engine, rerank=int(rerank)), int(rerank))
    search(*unpacked(packed[0], store.frame.shape))
    first = time.time()
    queries = len(packed) if how_many == "all" else 0
    ids, scores = np.full((queries, HITS), -1), np.full((queries, HITS), -1.0)
    seconds, encoding, evaluated = np.zeros(queries), np.zeros(queries), np.zeros(queries, np.int64)
    exact = DiceIndex.open(store)
    for n in range(queries):
        core, whole = unpacked(packed[n], store.frame.shape)
        hits, evaluated[n], encoding[n], seconds[n] = search(core, whole)
        ids[n, : len(hits)] = hits
        dices = exact.compare(hits, core, whole)
        scores[n, : len(hits)] = dices[0] + dices[1]
    memory = _most_resident() - before if before else -1
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


def _searcher(retriever: Retriever, rerank: int) -> Callable[[Mask, Mask], tuple[NDArray[np.int64], int, float, float]]:
    """From masks to ids, tumours compared voxel by voxel, and seconds: of encoding, and of all that ranks.

    Candidates that are not re-ranked need no Dice of what they find: it is none of their time.
    """

    def search(core: Mask, whole: Mask) -> tuple[NDArray[np.int64], int, float, float]:
        begun = time.perf_counter()
        if isinstance(retriever, DiceIndex):
            code = retriever.encode(core, whole)
            encoded = time.perf_counter()
            hits = retriever.search_encoded(code, HITS)
            return hits.ids, hits.evaluated, encoded - begun, time.perf_counter() - begun
        assert isinstance(retriever, CandidateRetriever)
        code = retriever.candidates.encode(core, whole)
        encoded = time.perf_counter()
        if rerank:
            hits = retriever.search_encoded(code, core, whole, HITS)
            return hits.ids, hits.evaluated, encoded - begun, time.perf_counter() - begun
        ids = retriever.candidates.nearest(code, HITS)[0]
        return ids, 0, encoded - begun, time.perf_counter() - begun

    return search


def _most_resident() -> int:
    """Bytes that this process has had in memory at most, mapped files included; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
