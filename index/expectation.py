"""What a simulation that a store has not seen reaches with its best match there: leave-one-out cross-validation.

Stored tumours are searched for in their own store, and all tumours of their own simulation are passed over: the best of
the others is what another draw of that size finds (Stone 1974, doi:10.1111/j.2517-6161.1974.tb00994.x). It takes no
simulation, so it can be told of any growth model, and is made once, with the index.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, OutputError, StoreLockedError
from ..store.checksummed_file import read_sealed, write_sealed
from ..store.cores import available_cores
from ..store.lock import committer_lock
from ..store.reader import TumorStore
from .block_masks import DenseMask
from .derived_cache import Progress
from .dice import DiceIndex, dice_data

QUERIES = 1200
"""Tumours that are left out; each is searched for twice, which takes a core 2.6 ms in 3,000 tumours."""

_SIZES = 40  # equal intervals of log-volume that they are taken from, so that small and large ones are covered
_NEAREST = 200  # of them that a tumour is compared with: 1 % are two of them
_FEWEST = 20  # fewer tell nothing
_AT_ONCE = 3_000  # tumours of a store in which that takes less than two seconds on two cores
_GROWN = 1.1  # as much may a store have grown or shrunk since
_LAYOUT = "leave one out 1"  # changes whenever the table or the way to it does: older files are then made anew


@dataclass(frozen=True)
class SimilarSize:
    """Simulations of the size of a tumour, none of which the store had seen.

    Args:
        scores: the Dice sum that each reached with its best match, ascending, (n,).
        smallest_ml, largest_ml: volumes of their whole tumours.
    """

    scores: NDArray[np.float64]
    smallest_ml: float
    largest_ml: float

    def percentile(self, score: float) -> float:
        """How many of them reached less than a score, in per cent."""
        return 100 * float(np.searchsorted(self.scores, score, side="left")) / len(self.scores)

    def reached_by(self, share: float) -> float:
        """Score that a share of them reached, or more."""
        return float(np.quantile(self.scores, 1 - share, method="lower"))


@dataclass(frozen=True)
class Expectation:
    """What simulations reach that a store has not seen, by their size.

    Args:
        volumes_ml: of their whole tumours, ascending, (n,).
        core, whole: Dice of the best match by the sum of both, (n,).
        whole_alone: Dice of the best match where only the whole tumour is known, (n,).
    """

    volumes_ml: NDArray[np.float64]
    core: NDArray[np.float64]
    whole: NDArray[np.float64]
    whole_alone: NDArray[np.float64]

    def of(self, volume_ml: float, *, core: bool = True) -> SimilarSize | None:
        """Find those whose volume is nearest to a tumour's, by ratio: a running window over log-volume.

        Args:
            volume_ml: of the whole tumour in the atlas, above 0.
            core: whether it has a core; where it has none, the score is the Dice of the whole alone.

        Returns:
            None where there are too few.
        """
        if len(self.volumes_ml) < _FEWEST:
            return None
        apart = np.abs(np.log(self.volumes_ml / volume_ml))
        near = np.sort(np.argsort(apart, kind="stable")[:_NEAREST])
        scores = self.core + self.whole if core else self.whole_alone
        return SimilarSize(np.sort(scores[near]), float(self.volumes_ml[near[0]]), float(self.volumes_ml[near[-1]]))


def expectation_of(store: TumorStore) -> Expectation | None:
    """Read what was made with the index; make it where the store is so small that it takes no two seconds.

    Args:
        store: snapshot that is searched.

    Returns:
        None where it is not there, or was made when the store was of another size: `gliodex index STORE` makes it.

    Raises:
        DamagedStoreError: the index is damaged.
    """
    kept = _kept(store)
    if kept is not None:
        return kept
    if len(store.searched) > _AT_ONCE or not dice_data().is_complete(store):
        return None
    found = leave_one_out(store)
    with contextlib.suppress(OutputError, StoreLockedError):  # a store that cannot be written is asked again next time
        _keep(store, found)
    return found


def refresh_expectation(store: TumorStore, *, rebuild: bool = False, progress: Progress | None = None) -> None:
    """Make what is expected of a store's matches, unless it is there and the store has not changed by a tenth.

    Raises:
        DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
    """
    if rebuild or _kept(store) is None:
        _keep(store, leave_one_out(store, progress))


def verify_expectation(store: TumorStore) -> list[str]:
    """List what is damaged; nothing where there is no file."""
    try:
        if _path(store).exists():
            read_sealed(_path(store), _command(store))
    except DamagedStoreError as error:
        return [str(error)]
    return []


def leave_one_out(store: TumorStore, progress: Progress | None = None, queries: int = QUERIES) -> Expectation:
    """Search for stored simulations in their own store, passing over all tumours of the same simulation.

    Args:
        store: to search; its index is brought up to date.
        progress: told how far it has come.
        queries: simulations to search for, at most.

    Raises:
        DamagedStoreError, OutputError, StoreLockedError: see `DiceIndex.open`.
    """
    index, runs = DiceIndex.open(store), store.trajectories
    volumes = index.sizes[1] * store.frame.voxel_ml
    eligible = _drawn(store) & ~store.left_out & index.sizes.all(axis=0)
    chosen = _stratified(volumes, np.flatnonzero(eligible), queries)

    def best_other(position: int) -> tuple[float, float, float]:
        masks = index.stored(position)
        nothing = DenseMask.from_words(np.zeros_like(masks[0].words))
        core, whole = another_runs_best(masks, position)
        return core, whole, another_runs_best((nothing, masks[1]), position)[1]

    def another_runs_best(masks: tuple[DenseMask, DenseMask], position: int) -> tuple[float, float]:
        hits = index.search_encoded(masks, 2, distinct=True)
        others = np.flatnonzero(runs[np.searchsorted(store.ids_in_segments, hits.ids)] != runs[position])
        return (float(hits.dice_core[others[0]]), float(hits.dice_whole[others[0]])) if len(others) else (0.0, 0.0)

    rows = []
    with ThreadPoolExecutor(available_cores()) as pool:
        for done, row in enumerate(pool.map(best_other, chosen.tolist()), 1):
            rows.append(row)
            if progress:
                progress(done, len(chosen))
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Expectation(volumes[chosen], *table.T)


def _stratified(volumes: NDArray[np.float64], eligible: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Choose so many as evenly over log-volume as there are tumours, in the order of their volume.

    In every interval they are in a random order; the first of each interval are taken, then the second, and so on.
    """
    if not len(eligible):
        return eligible
    shuffled = np.random.default_rng(0).permutation(eligible)
    logs = np.log(volumes[shuffled])
    strata = np.digitize(logs, np.linspace(logs.min(), logs.max(), _SIZES + 1)[1:-1])
    by_stratum = np.argsort(strata, kind="stable")
    starts = np.searchsorted(strata[by_stratum], strata[by_stratum])
    turn = np.arange(len(shuffled)) - starts
    chosen = shuffled[by_stratum[np.argsort(turn, kind="stable")[:count]]]
    return np.asarray(chosen[np.lexsort((chosen, volumes[chosen]))])


def _drawn(store: TumorStore) -> NDArray[np.bool_]:
    """Which of `ids_in_segments` a prior drew: no patient's tumour, and nothing that was added."""
    kinds = [np.full(record.count, record.provenance.get("kind") == "prior") for record in store.segments]
    return np.concatenate([*kinds, np.zeros(0, np.bool_)])


def _folder(store: TumorStore) -> Path:
    return store.derived / "leave_one_out"


def _path(store: TumorStore) -> Path:
    return _folder(store) / "table"


def _command(store: TumorStore) -> str:
    return f"gliodex index {store.path}"


def _made_with(store: TumorStore) -> dict[str, object]:
    return {"layout": _LAYOUT, "frame": store.manifest.frame, "thresholds": store.thresholds}


def _keep(store: TumorStore, found: Expectation) -> None:
    if not len(found.volumes_ml) or store.finds_folded or store.pinned:
        return
    table = np.stack([found.volumes_ml, found.core, found.whole, found.whole_alone])
    with committer_lock(_folder(store), "gliodex index"):
        write_sealed(_path(store), _made_with(store) | {"tumours": len(store.searched)}, table.astype("<f8").tobytes())


def _kept(store: TumorStore) -> Expectation | None:
    if not _path(store).is_file():
        return None
    try:
        sealed = read_sealed(_path(store), _command(store))
    except DamagedStoreError:
        return None
    known = int(sealed.record.pop("tumours", 0))
    now = len(store.searched)
    if sealed.record != _made_with(store) or not known / _GROWN <= now <= known * _GROWN:
        return None
    return Expectation(*np.frombuffer(sealed.data, "<f8").reshape(4, -1))
