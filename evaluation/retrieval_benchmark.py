"""The benchmark as a whole: queries, all ways of searching, tables and plot."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..index import DiceIndex, cost_of, prepare, what_is_missing
from ..learn import KINDS, encoder_record
from ..retrieval.imaging.choices import Space
from ..retrieval.outputs import staged_folder
from ..store.cores import available_cores
from ..store.reader import TumorStore, open_store
from .benchmark_output import Row, accuracy_table, cost_table, plot, write_lines
from .held_out_sets import QuerySet, cases_of, check_unseen, patients, perturbed, unseen
from .reference_implementation import seconds_a_tumour
from .retrieval_methods import RERANKED, SEARCHED, Way
from .scoring import accuracy, runtime
from .timing import HITS, ask

PERTURBED = 400
"""Simulations that are asked badly drawn, too."""

Announce = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much is done."""


@dataclass(frozen=True)
class BenchRequest:
    """What to compare.

    Args:
        store: path of the store.
        out: folder for the results.
        unseen: simulations that the store has never seen.
        perturbed: how many of them are asked spoilt, too; by default 400, or all where there are fewer.
        cohort: folder of patients; none without.
        space: that the patients are in.
        methods: to compare; by default all that are ready, encoders where they are trained.
        seed: of unseen simulations and their spoiling.
        authors: tumours that the authors' own loop is timed with; 0 leaves it out.
    """

    store: str
    out: Path
    unseen: int = 1000
    perturbed: int | None = None
    cohort: Path | None = None
    space: Space = "sri24"
    methods: tuple[str, ...] = ()
    seed: int = 3
    authors: int = 200


class Comparison(NamedTuple):
    """What was measured.

    Args:
        rows: a way and set of queries each, as in bench.jsonl.
        authors_s: seconds that the authors' loop would take for the whole store; None where it was left out.
    """

    rows: list[Row]
    authors_s: float | None


def compare(request: BenchRequest, announce: Announce = lambda what, done, total: None) -> Comparison:
    """Ask every way of searching all queries; writes bench.jsonl, table.md and accuracy_against_time.png.

    Args:
        request: what to compare.
        announce: told how far it has come.

    Returns:
        A row a way and set of queries, as in bench.jsonl, and the authors' loop.

    Raises:
        GliodexError: anything the user can mend.
    """
    store, ways = ready_to_compare(request)
    with staged_folder(request.out) as folder:
        sets = _query_sets(store, request, announce)
        for way in ways:
            prepare(store, way.prepared, engine=way.engine, progress=_told(announce, f"index {way.name}"))
        rows = _asked(store, ways, sets, request, announce)
        timed, authors_s = min(request.authors, len(store)), None
        if timed:
            told = _told(announce, "the authors' loop")
            authors_s = len(store) * seconds_a_tumour(store, *sets[0][0], timed, progress=told)
        write_lines(rows, folder / "bench.jsonl")
        tables = [accuracy_table(rows), cost_table(rows, authors_s), _notes(rows[0], timed)]
        (folder / "table.md").write_text("\n\n".join(tables) + "\n")
        plot(rows, folder / "accuracy_against_time.png", authors_s)
    return Comparison(rows, authors_s)


def ready_to_compare(request: BenchRequest) -> tuple[TumorStore, list[Way]]:
    """Refuse what could not be compared in the end, before any work.

    Returns:
        The store, and the ways of searching it.

    Raises:
        GliodexError: see `compare`.
    """
    store = open_store(request.store)
    if len(store.searched) < HITS:
        raise InputError(f"{store.path} holds {len(store.searched)} tumours: a comparison takes at least {HITS}")
    spoilt = _spoilt(request)
    if not 0 < spoilt <= request.unseen:
        raise InputError(f"‹n_perturbed› spoils some of the ‹n_test› simulations, 1 to {request.unseen}, not {spoilt}")
    if request.cohort is not None:
        cases_of(request.cohort)
    ways = chosen_ways(store, request.methods)
    _check_learned(store, ways, request.seed)
    check_unseen(store, request.seed)
    return store, ways


def _spoilt(request: BenchRequest) -> int:
    return min(PERTURBED, request.unseen) if request.perturbed is None else request.perturbed


def chosen_ways(store: TumorStore, methods: tuple[str, ...] = ()) -> list[Way]:
    """Choose the ways to compare, each as ranked and re-ranked.

    Raises:
        InputError: a method is unknown, or its encoder is not trained.
    """
    known = {way.method for way in SEARCHED}
    for method in methods:
        if method not in known:
            raise InputError(f"there is no method {method}", hint=f"choose among {', '.join(sorted(known))}")
        if missing := what_is_missing(store, method):
            raise InputError(missing)
    wanted = set(methods) | {"dice"} if methods else {m for m in known if what_is_missing(store, m) is None}
    ways = [way for way in SEARCHED if way.method in wanted]
    return ways + [replace(way, rerank=RERANKED) for way in ways if way.method != "dice"]


def _check_learned(store: TumorStore, ways: list[Way], seed: int) -> None:
    """Refuse encoders that learned from what is searched or asked."""
    for kind in sorted({way.method for way in ways} & set(KINDS)):
        campaigns = encoder_record(store, kind)["run"]["learned_from"]["campaigns"]
        again = f"train another one with `gliodex train encoder {kind} {store.path}`"
        if store.manifest.campaigns.keys() & set(campaigns):
            raise InputError(f"{kind} of {store.path} learned from tumours that the store now holds: {again}")
        if any(campaign.startswith(f"seed-{seed}-") for campaign in campaigns):
            raise InputError(
                f"{kind} of {store.path} learned from the tumours of ‹seed={seed}›",
                hint="choose another one",
            )


def _query_sets(store: TumorStore, request: BenchRequest, announce: Announce) -> list[QuerySet]:
    cohort = []
    if request.cohort is not None:  # first: it may be refused
        cohort = [patients(store, request.cohort, request.space, _told(announce, "patients"))]
    simulated = unseen(store, request.unseen, request.seed, _told(announce, "held-out simulations"))
    return [simulated, perturbed(simulated.first(_spoilt(request)), request.seed), *cohort]


def _asked(
    store: TumorStore, ways: list[Way], sets: list[QuerySet], request: BenchRequest, announce: Announce
) -> list[Row]:
    exact = DiceIndex.open(store)
    truth = np.stack([exact.search(*query, HITS).scores for query_set in sets for query in query_set])
    about: Row = {
        "tumours": len(store),
        "store_version": store.version,
        "seed": request.seed,
        "cpu": _cpu(),
        "cores_searching": 1,
        "cores_building": available_cores(),
        "gliodex": version("gliodex"),
        "faiss": _version_of_faiss(),
    }
    rows: list[Row] = []
    for n, way in enumerate(ways):
        announce(f"asking {way.name}", n, len(ways))
        answers = ask(store, way, sets)
        cost = cost_of(store, way.prepared, way.engine)
        first = 0
        for query_set in sets:
            asked = slice(first, first + len(query_set))
            first += len(query_set)
            rows.append(
                {"way": way.name, **vars(way), "set": query_set.name, "queries": len(query_set)}
                | accuracy(answers, truth, asked)
                | runtime(answers, asked)
                | {"build_s": cost["build_s"], "training_s": cost["training_s"], "disk_bytes": cost["bytes"]}
                | about
            )
    announce("asking", len(ways), len(ways))
    return rows


def _notes(row: Row, timed: int) -> str:
    text = (
        f"{row['tumours']:,} tumours, seed {row['seed']}, {row['cpu']}; queries on one core. Top-N: the best match is "
        "among the N best of exact search, or as good as the N-th; in brackets 95 % intervals (Wilson). Loss: what the "
        "best match's Dice sum lacks to the best there is. Cold: from the start of a process to its first answer, "
        "files in the system's cache. Made in: with all cores, tumours simulated for training not counted. On disk: "
        "besides the exact index, which re-ranking needs too. In memory: what the process grew by at most."
    )
    if timed:
        text += (
            f" The authors' loop (a compressed file a simulation, {row['cores_building']} processes) was timed with "
            f"{timed} simulations and extrapolated to {row['tumours']:,}."
        )
    return text


def _told(announce: Announce, what: str) -> Callable[[int, int], None]:
    return lambda done, total: announce(what, done, total)


def _version_of_faiss() -> str:
    import faiss

    return str(faiss.__version__)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
