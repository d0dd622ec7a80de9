"""Codes of encoders as derived data: what each mask of a store is described by, for one set of weights."""

from __future__ import annotations

from concurrent.futures import Executor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, command
from ..learn import Encoder, encoder_path, encoder_sha256, load_encoder, verify_encoder
from ..store.quantization import level_of
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord
from .derived_cache import Derived, Progress
from .faiss_backends import ENGINES, BinaryEngine, Engine, FlatEngine, flat_on_gpu, gpu_resources, inverted_lists
from .graph import Graph
from .protocol import Mask, check_query
from .vectors import open_rows, pack_rows

_AT_ONCE = 32


def latent_data(store: TumorStore, kind: str, encoder: Encoder | None = None) -> Derived:
    """Name the derived data of the encoder of a kind, as it is trained for a store now; stale when trained anew.

    Rows hold the codes of core and whole side by side: float16 of unit length, of "hash" bits.

    Args:
        store: that is described.
        kind: of the encoder.
        encoder: where it is loaded already; else it is when a segment must be described.

    Raises:
        InputError: there is no such encoder.
    """
    sha256 = encoder.sha256 if encoder else encoder_sha256(store, kind)

    @cache
    def loaded() -> Encoder:
        found = encoder or load_encoder(store, kind)
        if found.sha256 != sha256:
            raise InputError(f"{kind} of {store.path} has just been trained anew", hint="run the same command again")
        return found

    return Derived(
        kind,
        {"weights": sha256, "layout": "latents 1"},
        lambda *segment: _pack_segment(loaded(), *segment),
    )


def row_width(encoder: Encoder) -> tuple[int, str]:
    """Width and type of the rows of an encoder."""
    return (2 * (-(-encoder.latent // 8)), "u1") if encoder.kind == "hash" else (2 * encoder.latent, "f2")


def as_rows(encoder: Encoder, codes: NDArray[np.float32]) -> NDArray[np.generic]:
    """Codes of core and whole, (n, 2, latent), as rows of the derived data."""
    if encoder.kind == "hash":
        return np.packbits(codes > 0, axis=-1).reshape(len(codes), -1)
    return codes.astype(np.float16).reshape(len(codes), -1)


def _pack_segment(
    encoder: Encoder, store: TumorStore, record: SegmentRecord, pool: Executor
) -> tuple[bytes, dict[str, int]]:
    segment, levels = store.segment(record), [level_of(store.thresholds[name]) for name in ("core", "whole")]

    def counts(row: int) -> NDArray[np.uint8]:
        integers = segment.integers(row)
        return np.stack([encoder.box.counts(integers >= level) for level in levels])

    rows = []
    for first in range(0, record.count, _AT_ONCE):
        block = np.concatenate(list(pool.map(counts, range(first, min(first + _AT_ONCE, record.count)))))
        rows.append(as_rows(encoder, encoder.codes(block).reshape(-1, 2, encoder.latent)))
    return pack_rows(np.concatenate(rows))


class LatentCandidates:
    """Ranks tumours by the distances of their masks' codes, summed over core and whole.

    Args:
        store: snapshot that is searched.
        encoder: describes the query.
        kept: rows of `store.ids_in_segments` that are searched, which the engine knows as 0, 1, ...
        engine: finds what is near.
    """

    def __init__(self, store: TumorStore, encoder: Encoder, kept: NDArray[np.intp], engine: Engine) -> None:
        self.name = encoder.kind
        self._store, self._encoder, self._kept, self._engine = store, encoder, kept, engine

    @classmethod
    def open(
        cls,
        store: TumorStore,
        kind: str,
        engine: str = ENGINES[0],
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> LatentCandidates:
        """Open the codes of a snapshot, adding those of the segments that they lack.

        Args:
            store: to search.
            kind: of the encoder.
            engine: one of `ENGINES`; bits have but one, "flat".
            device: "cpu" or "cuda", for network and engine.
            progress: told how far it has come.

        Raises:
            InputError: there is no such encoder, or no such engine on this device.
            DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
        """
        gpu = gpu_resources() if device == "cuda" else None
        encoder = load_encoder(store, kind).to(device)
        rows = open_rows(store, latent_data(store, kind, encoder), *row_width(encoder), progress)
        kept = np.flatnonzero(~store.left_out)
        try:
            chosen = _engine(store, encoder, rows, kept, engine, gpu)
        except RuntimeError as error:  # FAISS's word for a GPU without room
            raise InputError(f"FAISS cannot hold the codes of {len(kept):,} tumours ({error})") from error
        return cls(store, encoder, kept, chosen)

    def __len__(self) -> int:
        return len(self._kept)

    def encode(self, core: Mask, whole: Mask) -> NDArray[Any]:
        """See `Candidates.encode`."""
        check_query(self._store.frame.shape, core, whole)
        codes = self._encoder.describe(core, whole)
        return as_rows(self._encoder, codes[None])[0] if self.name == "hash" else codes

    def nearest(self, code: NDArray[Any], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `Candidates.nearest`; scores are distances with their sign turned."""
        if not len(self):
            return np.zeros(0, np.int64), np.zeros(0)
        rows, distances = self._engine.nearest(code, k)
        order = np.lexsort((rows, distances))[:k]
        return self._store.ids_in_segments[self._kept[rows[order]]], -distances[order]


def _engine(
    store: TumorStore, encoder: Encoder, rows: NDArray[Any], kept: NDArray[np.intp], engine: str, gpu: Any
) -> Engine:
    if encoder.kind == "hash":
        return BinaryEngine(rows[kept], gpu)
    if engine == "hnsw":
        return graph_data(store, encoder.kind, encoder.sha256).engine(store.segments, rows, kept)
    codes = rows[kept] if len(kept) < len(rows) else rows
    codes = codes.reshape(len(kept), 2, encoder.latent)
    if engine == "ivf":
        return inverted_lists(codes, encoder.anchors, gpu)
    return FlatEngine(codes) if gpu is None else flat_on_gpu(codes, gpu)


def graph_data(store: TumorStore, kind: str, sha256: str | None = None) -> Graph:
    """Graph over the codes of an encoder of a kind; of this hash, or as it is trained now."""
    weights = sha256 or encoder_sha256(store, kind)
    made_with: dict[str, object] = {"weights": weights, "frame": store.manifest.frame}
    again = command("gliodex index", store.path, index=kind, faiss_index="hnsw", rebuild=True)
    return Graph(store.derived / "networks" / f"{kind}.graph", made_with | {"thresholds": store.thresholds}, again)


def refresh_graph(store: TumorStore, kind: str, *, rebuild: bool = False, progress: Progress | None = None) -> None:
    """Bring codes and their graph up to a snapshot.

    Raises:
        InputError, DamagedStoreError, OutputError, StoreLockedError: see `LatentCandidates.open`.
    """
    encoder = load_encoder(store, kind)
    rows = open_rows(store, latent_data(store, kind, encoder), *row_width(encoder), progress)
    graph_data(store, kind, encoder.sha256).refresh(store.segments, rows, rebuild=rebuild, progress=progress)


def verify_latents(store: TumorStore, kind: str) -> list[str]:
    """List what is damaged of an encoder, its codes and their graph; empty where there is none."""
    found = verify_encoder(store, kind)
    if found or not encoder_path(store, kind).exists():
        return found
    return latent_data(store, kind).verify(store) + graph_data(store, kind).verify()
