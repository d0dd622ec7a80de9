"""FAISS over the codes of a snapshot's tumours: which are nearest by the sum of both masks' distances.

The sum over two masks is the distance in no single space: the flat engine adds up the distances to all; the others
search the codes side by side, whose squared distance is the sum of squares, and put what they find in the order of the
sum. Distances that are returned are computed row by row: they do not depend on what else is searched, so equal codes
are equally far.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Found = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Rows, and their distances."""

ENGINES = ("flat", "ivf", "hnsw")
"""Names of the engines of codes that are not bits: all compared; inverted lists; a graph of near neighbours."""

WIDER = 200
"""Rows that an engine of squared distances finds at least, to be put in the order of the sums."""

LISTS, PROBED = 64, 8
"""Inverted lists, and how many of them are looked at."""

_SLACK = 1e-3
"""What FAISS's distances may be wrong by, summed over two masks."""

_ADDED_AT_ONCE = 4096
_MOST_ON_GPU = 2048


class Engine(Protocol):
    """Finds rows near a query."""

    def nearest(self, query: NDArray[Any], k: int) -> Found:
        """About `k` nearest rows, no fewer unless there are fewer, in no order."""
        ...


class FlatEngine:
    """All codes compared, their distances summed.

    Args:
        codes: of core and whole, (n, 2, latent).
    """

    def __init__(self, codes: NDArray[np.floating]) -> None:
        self._codes = codes
        self._halves = [_exhaustive(codes[:, n]) for n in (0, 1)]

    def nearest(self, query: NDArray[np.float32], k: int) -> Found:
        """See `Engine.nearest`; all rows as near as the last are found."""
        distances = np.zeros(len(self._codes))
        for asked, half in zip(query, self._halves, strict=True):
            squares, rows = half.search(np.ascontiguousarray(asked[None], np.float32), len(self._codes))
            distances[rows[0]] += np.sqrt(np.maximum(squares[0].astype(np.float64), 0.0))
        reach = np.inf if k >= len(distances) else np.partition(distances, k - 1)[k - 1] + _SLACK
        rows = np.flatnonzero(distances <= reach)
        return rows, _apart(self._codes, rows, query)


class SideBySideEngine:
    """An index of FAISS over the codes of core and whole side by side.

    Args:
        index: over (n, 2 * latent), by L2.
        codes: of core and whole, (n, 2, latent).
        rows: of `codes`, that the index knows its entries by; -1 for entries that are not searched.
        parameters: of its search, which leave those entries out.
        most: how many it can find at once.
    """

    def __init__(
        self,
        index: Any,
        codes: NDArray[np.floating],
        rows: NDArray[np.int64],
        parameters: Callable[[int], Any] = lambda _: None,
        most: int = 2**31,
    ) -> None:
        self._index, self._codes, self._rows, self._parameters, self._most = index, codes, rows, parameters, most

    def nearest(self, query: NDArray[np.float32], k: int) -> Found:
        """See `Engine.nearest`."""
        total = int((self._rows >= 0).sum())
        wanted = min(max(k, WIDER), total, self._most)
        flat = np.ascontiguousarray(query.reshape(1, -1), np.float32)
        entries = self._index.search(flat, wanted, params=self._parameters(wanted))[1][0]
        rows = self._rows[entries[entries >= 0]]
        if len(rows) < min(k, total):  # inverted lists or a graph may end too soon: then all are compared
            rows = np.flatnonzero(np.bincount(self._rows[self._rows >= 0], minlength=len(self._codes)))
        return rows, _apart(self._codes, rows, query)


class BinaryEngine:
    """All bits compared: the Hamming distance of both masks' bits side by side is the sum of both distances.

    Args:
        codes: bits of core and whole side by side, (n, bytes).
        gpu: resources of `gpu_resources`; None stays on the CPU.
    """

    def __init__(self, codes: NDArray[np.uint8], gpu: Any = None) -> None:
        self._index = faiss.IndexBinaryFlat(8 * codes.shape[1])
        self._index.add(np.ascontiguousarray(codes))
        self._on_gpu = None if gpu is None else faiss.index_binary_cpu_to_gpu(gpu, 0, self._index)

    def nearest(self, query: NDArray[np.uint8], k: int) -> Found:
        """See `Engine.nearest`; all rows as near as the last are found."""
        total = self._index.ntotal
        wanted = k
        while True:
            index = self._index if self._on_gpu is None or wanted > _MOST_ON_GPU else self._on_gpu
            distances, rows = index.search(query.reshape(1, -1), min(wanted, total))
            # FAISS keeps any of those as far as the last: ask for more until one is farther
            if wanted >= total or distances[0, -1] > distances[0, k - 1]:
                return rows[0].astype(np.int64), distances[0].astype(np.float64)
            wanted *= 4


def inverted_lists(
    codes: NDArray[np.floating],
    anchors: NDArray[np.float32],
    gpu: Any = None,
) -> SideBySideEngine:
    """Engine that looks only at the lists whose centres are nearest to a query.

    The centres are those of the tumours that the encoder was trained with: they do not depend on the store.

    Args:
        codes: of core and whole, (n, 2, latent).
        anchors: codes of the training tumours, (tumours, 2 * latent).
        gpu: resources of `gpu_resources`; None stays on the CPU.
    """
    width = anchors.shape[1]
    lists = int(np.clip(len(anchors) // 20, 1, LISTS))
    # not faiss.Kmeans: once SimpleITK is loaded, its arrays of floats take the place of FAISS's
    quantiser, clustering = faiss.IndexFlatL2(width), faiss.Clustering(width, lists)
    clustering.niter, clustering.seed, clustering.min_points_per_centroid = 10, 1, 1
    clustering.train(np.ascontiguousarray(anchors, np.float32), quantiser)
    index = faiss.IndexIVFScalarQuantizer(
        quantiser, width, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
    )
    index.is_trained = True
    index.nprobe = PROBED
    if gpu is not None:
        index = faiss.index_cpu_to_gpu(gpu, 0, index)
        index.nprobe = PROBED
    for first in range(0, len(codes), _ADDED_AT_ONCE):
        index.add(codes[first : first + _ADDED_AT_ONCE].reshape(-1, width).astype(np.float32))
    most = _MOST_ON_GPU if gpu is not None else 2**31
    return SideBySideEngine(index, codes, np.arange(len(codes)), most=most)


def flat_on_gpu(codes: NDArray[np.floating], gpu: Any) -> SideBySideEngine:
    """Engine that compares all codes on the GPU, by the squares of distances; what is near is put in order by sums."""
    index = faiss.index_cpu_to_gpu(gpu, 0, faiss.IndexFlatL2(codes.shape[1] * codes.shape[2]))
    for first in range(0, len(codes), _ADDED_AT_ONCE):
        index.add(codes[first : first + _ADDED_AT_ONCE].reshape(-1, index.d).astype(np.float32))
    return SideBySideEngine(index, codes, np.arange(len(codes)), most=_MOST_ON_GPU)


def _apart(codes: NDArray[np.floating], rows: NDArray[np.int64], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distances of rows to a query, summed over core and whole."""
    found = np.empty(len(rows))
    for first in range(0, len(rows), _ADDED_AT_ONCE):
        some = rows[first : first + _ADDED_AT_ONCE]
        found[first : first + len(some)] = np.linalg.norm(codes[some].astype(np.float32) - query, axis=2).sum(axis=1)
    return found


def _exhaustive(codes: NDArray[np.floating]) -> Any:
    """Index that compares a query with all codes, (n, latent), kept in half precision."""
    index = faiss.IndexScalarQuantizer(codes.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2)
    for first in range(0, len(codes), _ADDED_AT_ONCE):
        index.add(np.ascontiguousarray(codes[first : first + _ADDED_AT_ONCE], np.float32))
    return index


@cache
def gpu_resources() -> Any:
    """Resources of the first NVIDIA GPU, after it has answered a small search as the CPU does.

    It is asked in another process: where FAISS has no kernel for a GPU, it ends the process.

    Raises:
        InputError: FAISS was installed without GPUs, finds none, or the one that it finds fails or answers wrongly.
    """
    advice = "install faiss-gpu instead of faiss-cpu, or leave out ‹device=cuda›"
    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        raise InputError(f"FAISS finds no NVIDIA GPU that it can use here: {advice}")
    code = f"from {__name__} import answers_as_the_cpu; answers_as_the_cpu()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode:
        said = (run.stderr.strip().splitlines() or [f"its process ended with {run.returncode}"])[-1]
        raise InputError(f"FAISS cannot search on the GPU ({said}): {advice}")
    return faiss.StandardGpuResources()


def answers_as_the_cpu() -> None:
    """Search a little on the first GPU.

    Raises:
        RuntimeError: it answers otherwise than the CPU.
    """
    resources = faiss.StandardGpuResources()
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((1000, 2, 64)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=2, keepdims=True)
    bits = rng.integers(0, 256, (1000, 16), np.uint8)
    pairs = [
        (flat_on_gpu(codes, resources).nearest(codes[7], 5), FlatEngine(codes).nearest(codes[7], 5)),
        (BinaryEngine(bits, resources).nearest(bits[7], 5), BinaryEngine(bits).nearest(bits[7], 5)),
    ]
    for there, here in pairs:
        told, known = (dict(zip(*found, strict=True)) for found in (there, here))
        nearest = sorted(known, key=lambda row: known[row])[:5]
        if any(abs(told.get(row, np.inf) - known[row]) > 1e-2 for row in nearest):
            raise RuntimeError("it answers otherwise than the CPU")
