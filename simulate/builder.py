"""Filling a store: a campaign of simulations on local processes, idempotent and resumable.

A campaign is named by its seed and its prior. Draw k of a campaign is the same on every machine, and tumours enter the
store in the order of their draws, so the ids and densities of a store depend neither on the number of workers nor on
how often the build was killed. A draw may give several tumours, snapshots of its simulation, oldest first.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GliodexError, InputError, OutputError
from ..store.atlas import Atlas
from ..store.density import EncodedTumour
from ..store.manifest import THRESHOLDS, Campaign
from ..store.parameters import GrowthParameters
from ..store.writer import StoreWriter, creating
from .fisher_kolmogorov import FisherKolmogorov, FisherKolmogorovSettings
from .preview import SizePreview
from .prior import Prior, tissue_voxels
from .trajectories import snapshot_shares

SEGMENT_TUMOURS = 1024
"""Tumours that make a full segment."""

COMMIT_SECONDS = 10.0
"""A build commits what it has at least this often: a kill loses no more."""

BYTES_A_TUMOUR = 46_000
"""Disk that a tumour takes in store and index, rounded up; to refuse a build that cannot fit."""

_BLOCK_DRAWS = 32  # handed to a worker at a time: about three simulations


@dataclass
class BuildReport:
    """What a build has done so far.

    Args:
        count: tumours of the campaign now in the store.
        target: how many it shall have.
        added: simulated by this call.
        draws: settled by this call.
        previewed_out: of these, turned down before being simulated.
        seconds: since the call.
    """

    count: int
    target: int
    added: int = 0
    draws: int = 0
    previewed_out: int = 0
    seconds: float = 0.0

    @property
    def accepted_share(self) -> float:
        """Tumours kept, of all draws."""
        return self.added / self.draws if self.draws else 0.0

    @property
    def per_second(self) -> float:
        """Tumours kept per second."""
        return self.added / self.seconds if self.seconds else 0.0


Progress = Callable[[BuildReport], None]


def build(
    path: str | Path,
    count: int,
    seed: int,
    atlas: Atlas,
    *,
    prior: Prior | None = None,
    settings: FisherKolmogorovSettings | None = None,
    snapshots: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Bring the campaign of `seed` and `prior` to `count` tumours in the store at `path`, which is made if need be.

    Args:
        path: folder of the store.
        count: tumours that the campaign shall have; does nothing where it has them.
        seed: of the campaign, 0 to 2^64 - 1.
        atlas: where tumours grow; the store's own where it exists.
        prior: of the parameters and sizes.
        settings: of the solver; the store's own where it exists.
        snapshots: tumours to keep of each simulation besides its end, at earlier and smaller stages.
        workers: processes; all available cores by default. 1 simulates in this process.
        progress: called after each block of draws.

    Raises:
        InputError, OutputError, StoreLockedError, DamagedStoreError: see each.
    """
    count, seed = int(count), int(seed)
    if count < 1 or not 0 <= seed < 2**64 or (workers is not None and workers < 1) or snapshots < 0:
        raise InputError(
            "count and workers must be at least 1, seed between 0 and 2^64 - 1 and snapshots not negative, not "
            f"{count}, {workers}, {seed}, {snapshots}"
        )
    prior, settings = prior or Prior(), settings or FisherKolmogorovSettings()
    tissue_ml = float(atlas.tissue.sum()) * atlas.frame.voxel_ml
    if prior.whole_ml[0] > tissue_ml:
        raise InputError(
            f"the prior keeps tumours from {prior.whole_ml[0]:g} ml, the atlas has {tissue_ml:.0f} ml of tissue: "
            "no tumour could ever be kept"
        )
    with creating(path, atlas, settings.as_record(), "gliodex build") as writer:
        blank = Campaign(seed, prior.as_record() | ({"snapshots": snapshots} if snapshots else {}))
        campaign = writer.manifest.campaigns.get(blank.key, blank)
        report = BuildReport(campaign.count, count)
        if campaign.count >= count:
            return report
        _check_space(Path(path), count - campaign.count)
        maker = TumourMaker(atlas, settings, prior, seed, snapshots)
        batches = _batches(maker, campaign.draws, workers or len(os.sched_getaffinity(0)))
        try:
            _fill(writer, campaign, batches, report, progress)
        except BrokenProcessPool as error:
            raise GliodexError(
                f"a worker process died (killed, or out of memory) with {report.count} of {count} tumours done: "
                "run the same command to go on, with fewer --workers if memory is short"
            ) from error
        finally:
            batches.close()
    return report


@dataclass(frozen=True)
class Batch:
    """What became of a block of draws."""

    tumours: list[EncodedTumour]
    stop: int
    previewed_out: int


@dataclass
class TumourMaker:
    """Turns draws into tumours; sent to each worker once."""

    atlas: Atlas
    settings: FisherKolmogorovSettings
    prior: Prior
    seed: int
    snapshots: int = 0
    _parts: tuple[FisherKolmogorov, SizePreview, np.ndarray] | None = field(default=None, repr=False)

    def __call__(self, start: int) -> Batch:
        """Settle the block of draws that begins at `start`."""
        solver, preview, tissue = self._ready()
        tumours, previewed_out = [], 0
        for index in range(start, start + _BLOCK_DRAWS):
            parameters = self.prior.draw(self.atlas, tissue, self.seed, index)
            look = preview(parameters)
            if look.hopeless:
                previewed_out += 1
                continue
            shares = snapshot_shares(self.snapshots, self.seed, index)
            run = solver.grow(parameters, self.prior.whole_ml[1], look.reach, shares)
            for n, taken in enumerate(run.snapshots):
                then, before_end = replace(parameters, duration=taken.days), len(run.snapshots) - n
                tumours += self._kept(taken.density, taken.low, then, index, before_end)
            if not run.outgrew:
                tumours += self._kept(run.density, run.low, parameters, index, 0)
        return Batch(tumours, start + _BLOCK_DRAWS, previewed_out)

    def _kept(
        self,
        density: NDArray[np.float32],
        low: tuple[int, int, int],
        parameters: GrowthParameters,
        draw: int,
        snapshot: int,
    ) -> list[EncodedTumour]:
        voxels = np.count_nonzero(density >= np.float32(THRESHOLDS["whole"]))
        if not self.prior.whole_ml[0] <= voxels * self.atlas.frame.voxel_ml <= self.prior.whole_ml[1]:
            return []  # to compress it would be in vain
        tumour = EncodedTumour.from_box(density, low, self.atlas.frame, parameters, THRESHOLDS, draw, snapshot)
        return [tumour] if self.prior.keeps(tumour.whole_ml, tumour.core_ml) else []

    def _ready(self) -> tuple[FisherKolmogorov, SizePreview, np.ndarray]:
        if self._parts is None:
            solver = FisherKolmogorov(self.atlas, self.settings)
            self._parts = (
                solver,
                SizePreview(self.atlas, self.settings, self.prior),
                tissue_voxels(self.atlas),
            )
        return self._parts


def _fill(
    writer: StoreWriter,
    campaign: Campaign,
    batches: Iterator[Batch],
    report: BuildReport,
    progress: Progress | None,
) -> None:
    """Commit batches, which come in the order of their draws, until the campaign is full."""
    waiting: list[EncodedTumour] = []
    provenance: dict[str, object] = {"kind": "prior", "campaign": campaign.key}
    begun = last_commit = time.monotonic()
    settled, complete = campaign.draws, True
    known = campaign.part

    def commit(take: int) -> None:
        nonlocal campaign, last_commit
        taken = waiting[:take]
        if complete and take == len(waiting):
            draws, part = settled, 0
        elif take < len(waiting) and waiting[take].draw > taken[-1].draw:
            draws, part = taken[-1].draw + 1, 0
        else:  # the last draw may have more tumours to give
            draws = taken[-1].draw
            part = sum(t.draw == draws for t in taken) + (campaign.part if campaign.draws == draws else 0)
        advanced = replace(campaign, draws=draws, part=part, count=campaign.count + take)
        writer.commit_tumours(taken, provenance, advanced, f"build {advanced.key}: {advanced.count}")
        del waiting[:take]
        campaign, last_commit = advanced, time.monotonic()

    try:
        for batch in batches:
            batch.tumours[:known], known = [], 0
            wanted = report.target - report.count
            kept = batch.tumours[:wanted]
            complete = len(kept) == len(batch.tumours)
            waiting += kept
            settled = batch.stop
            report.count += len(kept)
            report.added += len(kept)
            report.draws += _BLOCK_DRAWS
            report.previewed_out += batch.previewed_out
            report.seconds = time.monotonic() - begun
            if progress:
                progress(report)
            while len(waiting) >= SEGMENT_TUMOURS:
                commit(SEGMENT_TUMOURS)
            if report.count >= report.target:
                break
            if time.monotonic() - last_commit > COMMIT_SECONDS:
                commit(len(waiting))
    except BrokenProcessPool:
        if waiting:
            commit(len(waiting))
        raise
    if waiting:
        commit(len(waiting))


def _batches(maker: TumourMaker, first: int, workers: int) -> Generator[Batch]:
    """Blocks of draws from `first` on, in order, made by `workers` processes."""
    if workers == 1:
        start = first
        while True:
            yield maker(start)
            start += _BLOCK_DRAWS
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _become_worker, (maker,)) as pool:
        ahead: deque[Future[Batch]] = deque()
        start = first
        try:
            while True:
                while len(ahead) < 4 * workers:
                    ahead.append(pool.submit(_make, start))
                    start += _BLOCK_DRAWS
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_maker: TumourMaker | None = None


def _become_worker(maker: TumourMaker) -> None:
    global _maker  # noqa: PLW0603 - a worker process has one maker for its whole life
    _maker = maker
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make(start: int) -> Batch:
    assert _maker is not None
    return _maker(start)


def _check_space(path: Path, tumours: int) -> None:
    free = shutil.disk_usage(path).free
    needed = tumours * BYTES_A_TUMOUR
    if free < needed:
        raise OutputError(
            f"{path}: {tumours} tumours need about {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free: "
            "free some space, choose another disk, or ask for fewer"
        )
