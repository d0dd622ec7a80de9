"""All ways of searching a store, by the names that the command line gives them."""

from __future__ import annotations

from ..errors import GliodexError, InputError
from ..learn import DEVICES, KINDS, encoder_path, encoder_record, load_encoder
from ..store.reader import TumorStore
from .approximate import CandidateRetriever, Candidates
from .derived_cache import Derived, Progress
from .dice import DiceIndex, dice_data
from .expectation import refresh_expectation, verify_expectation
from .faiss_backends import ENGINES
from .latents import LatentCandidates, graph_data, latent_data, refresh_graph, verify_latents
from .metrics import DICE, MEASURES
from .protocol import Retriever
from .radiomics import RADIOMICS, STANDARDISED, RadiomicsCandidates, require_pyradiomics
from .rerankers import RANKED, RANKINGS
from .resolutions import DS32, DS64, FULL
from .segment_file import Directory
from .threshold_search import LEVEL_COUNTS, ThresholdSearch

_GRIDS = {grid.name: grid for grid in (FULL, DS64, DS32)}

METHODS = (*_GRIDS, *KINDS, RADIOMICS.method, STANDARDISED)
"""Names of all ways of ranking tumours."""

_UNTRAINED: dict[str, Derived] = {name: dice_data(grid) for name, grid in _GRIDS.items()} | {
    derived.method: derived for derived in (LEVEL_COUNTS, RADIOMICS)
}
PREPARED = (*_UNTRAINED, *KINDS)
"""Names of all that can be prepared for searching."""


def open_retriever(
    store: TumorStore,
    method: str = FULL.name,
    *,
    measure: str = DICE.name,
    rerank: int = 0,
    search_thresholds: bool = False,
    engine: str = ENGINES[0],
    device: str = "cpu",
    progress: Progress | None = None,
) -> Retriever:
    """Open a way of searching a snapshot, adding the segments that its index does not hold yet.

    Args:
        store: to search.
        method: one of `METHODS`.
        measure: what exact search ranks by, one of `MEASURES`; or what the `rerank` best are put in the order of, one
            of `RANKINGS`.
        rerank: candidates to put in the order of their exact Dice; of no use to exact search.
        search_thresholds: find the thresholds too, by exact Dice.
        engine: of "ae" and "vae", one of `ENGINES`.
        device: of encoders and their engines, "cpu" or "cuda".
        progress: told how far the index has come.

    Raises:
        InputError: options that do not go together, or a method that lacks what it needs.
        DamagedStoreError, OutputError, StoreLockedError: see `DiceIndex.open`.
    """
    check_search(method, measure, rerank, search_thresholds, engine, device)
    if search_thresholds:
        return ThresholdSearch.open(store, progress)
    exact = DiceIndex.open(store, measure=MEASURES.get(measure, DICE), progress=progress)
    if method == FULL.name and measure in MEASURES:
        return exact
    candidates: Candidates
    if method == FULL.name:
        candidates = exact
    elif method in _GRIDS:
        candidates = DiceIndex.open(store, grid=_GRIDS[method], progress=progress)
    elif method in KINDS:
        candidates = LatentCandidates.open(store, method, engine, device, progress)
    else:
        candidates = RadiomicsCandidates.open(store, standardised=method == STANDARDISED, progress=progress)
    if measure in RANKINGS:
        return CandidateRetriever(store, candidates, exact, rerank or RANKED, RANKINGS[measure](store))
    return CandidateRetriever(store, candidates, exact, rerank)


def check_search(method: str, measure: str, rerank: int, search_thresholds: bool, engine: str, device: str) -> None:
    """Refuse options of a search that do not go together.

    Raises:
        InputError: says which, and what to leave out.
    """
    for given, known in (
        (method, METHODS),
        (measure, (*MEASURES, *RANKINGS)),
        (engine, ENGINES),
        (device, DEVICES),
    ):
        if given not in known:
            raise InputError(f"{given} is none of {', '.join(known)}")
    if rerank < 0:
        raise InputError(f"‹rerank› must not be negative, not {rerank}")
    if search_thresholds and method != FULL.name:
        raise InputError("thresholds are searched by exact Dice", hint=f"leave out ‹index={method}›")
    if search_thresholds and measure != DICE.name:
        raise InputError("thresholds are searched by Dice", hint=f"leave out ‹metric={measure}›")
    if measure != DICE.name and measure in MEASURES and method != FULL.name:
        raise InputError(f"‹metric={measure}› requires exact search", hint=f"leave out ‹index={method}›")
    if engine != ENGINES[0] and method not in KINDS[:2]:
        raise InputError(
            f"‹faiss_index={engine}› is one of ae and vae",
            hint="leave it out, or take one of these with ‹index›",
        )
    if device != "cpu" and method not in KINDS:
        raise InputError(
            f"‹device={device}› is for {', '.join(KINDS)}",
            hint="leave it out, or take one of these with ‹index›",
        )
    if device != "cpu" and engine == "hnsw":
        raise InputError(
            "FAISS has no graphs on a GPU",
            hint="leave out ‹device›, or take another ‹faiss_index›",
        )


def prepare(
    store: TumorStore,
    name: str,
    *,
    engine: str = ENGINES[0],
    rebuild: bool = False,
    progress: Progress | None = None,
) -> None:
    """Bring what a way of searching needs up to a snapshot; only new segments are read.

    Args:
        store: to search.
        name: one of `PREPARED`.
        engine: of "ae" and "vae": "hnsw" makes its graph too.
        rebuild: make it anew.
        progress: told how far it has come.

    Raises:
        InputError: there is no encoder of this name, or the engine is not one of this method.
        DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
    """
    if name not in PREPARED:
        raise InputError(f"{name} is none of {', '.join(PREPARED)}")
    check_search(name if name in METHODS else FULL.name, DICE.name, 0, False, engine, "cpu")
    if name == FULL.name:
        build_index(store, rebuild=rebuild, progress=progress)
        return
    derived = latent_data(store, name) if name in KINDS else _UNTRAINED[name]
    derived.refresh(store, rebuild=rebuild, progress=progress)
    if engine == "hnsw":
        refresh_graph(store, name, rebuild=rebuild, progress=progress)


def build_index(store: TumorStore, *, rebuild: bool = False, progress: Progress | None = None) -> Directory:
    """Bring the exact Dice index of a store up to a snapshot, and what is to be expected of its matches.

    Args:
        store: to search.
        rebuild: make both anew.
        progress: told how far the index has come, then how far the expectation.

    Returns:
        What the index holds.

    Raises:
        DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
    """
    directory = dice_data().refresh(store, rebuild=rebuild, progress=progress)
    refresh_expectation(store, rebuild=rebuild, progress=progress)
    return directory


def what_is_missing(store: TumorStore, name: str) -> str | None:
    """Say what a way of searching lacks before it can be prepared here, and how to get it; None where nothing."""
    try:
        if name in KINDS:
            load_encoder(store, name)
        elif RADIOMICS.method in name:
            require_pyradiomics()
    except GliodexError as error:
        return str(error)
    return None


def cost_of(store: TumorStore, name: str, engine: str = ENGINES[0]) -> dict[str, float | None]:
    """Say what a way of searching cost to make and keep: `build_s`, `training_s` (0 without any), `bytes`.

    Seconds are None where they were not kept; bytes are all that it has beside the store.
    """
    derived = latent_data(store, name) if name in KINDS else _UNTRAINED[name]
    files, seconds, training = list(derived.folder(store).iterdir()), derived.seconds(store), 0.0
    if name in KINDS:
        training = float(encoder_record(store, name).get("seconds", 0.0))
        files.append(encoder_path(store, name))
    if engine == "hnsw":
        graph = graph_data(store, name)
        files.append(graph.path)
        adding = graph.seconds()
        seconds = None if seconds is None or adding is None else seconds + adding
    size = sum(path.stat().st_size for path in files)
    return {"build_s": seconds, "training_s": training, "bytes": size}


def verify_methods(store: TumorStore) -> list[str]:
    """List all that is damaged in what the ways of searching keep beside a store."""
    found = [line for derived in _UNTRAINED.values() for line in derived.verify(store)] + verify_expectation(store)
    return found + [line for kind in KINDS for line in verify_latents(store, kind)]
