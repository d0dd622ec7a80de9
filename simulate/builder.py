"""Filling a store: a campaign of simulations on local processes, idempotent and resumable.

A campaign is named by its seed and its prior. Draw k of a campaign is the same on every machine, and tumours enter the
store in the order of their draws, so the ids and densities of a store depend neither on the number of workers nor on
how often the build was killed. A draw may give several tumours, snapshots of its simulation, oldest first.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..errors import GliodexError, InputError, OutputError
from ..store.atlas import Atlas
from ..store.cores import available_cores
from ..store.density import EncodedTumour
from ..store.local_files import LocalFiles
from ..store.locations import files_at
from ..store.manifest import Campaign, Manifest
from ..store.storage import StoreFiles
from ..store.writer import StoreWriter, creating
from .build_report import COMMIT_SECONDS, BuildReport, Progress
from .cluster import Job, fill_from_cluster
from .cuda import require_gpu
from .cuda_sampler import GPU_DRAWS, CudaTumourMaker
from .growth_models import ModelSettings, prior_for
from .mass_effect.batched import require_pytorch_gpu
from .prior import Prior
from .sampler import Batch, TumourMaker
from .settings import FisherKolmogorovSettings

SEGMENT_TUMOURS = 1024
"""Tumours that make a full segment."""

INDEPENDENT_TUMOURS, LARGE_STORE_SNAPSHOTS = 100_000, 4
"""A store of up to so many tumours holds only ends of simulations by default; a larger one so many snapshots of each
besides. Per minute of building, snapshots find better matches from the first minute on; per tumour they do not
(`benchmarks/sampling_rules.py`)."""

BYTES_A_TUMOUR = 48_000
"""Disk that a tumour takes in store and index, rounded up; to refuse a build that cannot fit."""

_BLOCK_DRAWS = 32  # handed to a worker at a time: about three simulations


def build(
    path: str | Path,
    count: int,
    seed: int,
    atlas: Atlas,
    *,
    prior: Prior | None = None,
    settings: ModelSettings | None = None,
    snapshots: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    progress: Progress | None = None,
) -> BuildReport:
    """Bring the campaign of `seed` and `prior` to `count` tumours in the store at `path`, which is made if need be.

    Args:
        path: folder of the store.
        count: tumours that the campaign shall have; does nothing where it has them.
        seed: of the campaign, 0 to 2^64 - 1.
        atlas: where tumours grow; the store's own where it exists.
        prior: of the parameters and sizes; where the model has a mass effect, `MASS_EFFECT_PA` unless it names a range.
        settings: of the model; Fisher-Kolmogorov by default.
        snapshots: tumours to keep of each simulation besides its end, at earlier and smaller stages; by default as
            many as the campaign has had so far, and for a new one none up to `INDEPENDENT_TUMOURS`, beyond
            `LARGE_STORE_SNAPSHOTS`.
        workers: processes; all available cores by default. 1 simulates in this process.
        scheduler: address of a Dask scheduler, whose workers simulate instead of processes here; they must see the
            store at the same path or URL.
        device: "cuda" simulates on the GPU of this machine, many tumours at once, instead of in processes.
        progress: called after each block of draws.

    Raises:
        InputError, OutputError, StoreLockedError, DamagedStoreError: see each.
    """
    count, seed = int(count), int(seed)
    snapshots = None if snapshots is None else int(snapshots)
    if count < 1 or not 0 <= seed < 2**64 or (workers is not None and workers < 1) or (snapshots or 0) < 0:
        raise InputError(
            "count and workers must be at least 1, seed between 0 and 2^64 - 1 and snapshots not negative, not "
            f"{count}, {workers}, {seed}, {snapshots}"
        )
    if device not in ("cpu", "cuda") or (device == "cuda" and scheduler is not None):
        raise InputError(f"device must be cpu or cuda, and cuda goes without a scheduler, not {device}, {scheduler}")
    settings = settings or FisherKolmogorovSettings()
    prior = prior_for(settings, prior or Prior())
    if device == "cuda":
        (require_gpu if prior.mass_effect is None else require_pytorch_gpu)()
    tissue_ml = float(atlas.tissue.sum()) * atlas.frame.voxel_ml
    if prior.whole_ml[0] > tissue_ml:
        raise InputError(
            f"the prior keeps tumours from {prior.whole_ml[0]:g} ml, the atlas has {tissue_ml:.0f} ml of tissue: "
            "no tumour could ever be kept"
        )
    with creating(path, atlas, settings.as_record(), "gliodex build") as writer:
        campaign = _campaign(writer.manifest, seed, prior.as_record(), snapshots, count)
        snapshots = int(campaign.prior.get("snapshots", 0))  # type: ignore[call-overload]
        report = BuildReport(campaign.count, count)
        if campaign.count >= count:
            return report
        _check_space(files_at(path), count - campaign.count)
        if scheduler is not None:
            job = Job(files_at(path).everywhere, settings, prior, campaign.key, seed, snapshots)
            fill_from_cluster(writer, campaign, job, scheduler, report, progress)
            return report
        if device == "cuda":
            gpu_maker = CudaTumourMaker if prior.mass_effect is None else _batched_maker()
            batches = _in_turn(gpu_maker(atlas, settings, prior, seed, snapshots), campaign.draws, GPU_DRAWS)
        else:
            maker = TumourMaker(atlas, settings, prior, seed, snapshots)
            batches = _batches(maker, campaign.draws, workers or available_cores())
        try:
            _fill(writer, campaign, batches, report, progress)
        except BrokenProcessPool as error:
            raise GliodexError(
                f"a worker process died (killed, or out of memory) with {report.count} of {count} tumours done",
                hint="run the same command to go on, with fewer ‹workers› if memory is short",
            ) from error
        finally:
            batches.close()
    return report


def _batched_maker() -> type[TumourMaker]:
    from .mass_effect.batched.batched_sampler import (
        BatchedTumourMaker,  # PyTorch takes seconds to import, and is optional
    )

    return BatchedTumourMaker


def _campaign(manifest: Manifest, seed: int, prior: dict[str, object], snapshots: int | None, count: int) -> Campaign:
    if snapshots is None:
        known = [c for c in manifest.campaigns.values() if c.seed == seed and c.prior | prior == c.prior]
        if known:
            return max(known, key=lambda c: c.count)
        snapshots = 0 if count <= INDEPENDENT_TUMOURS else LARGE_STORE_SNAPSHOTS
    blank = Campaign(seed, prior | ({"snapshots": snapshots} if snapshots else {}))
    return manifest.campaigns.get(blank.key, blank)


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
            report.count += len(kept)
            report.added += len(kept)
            report.kept_draws += len({tumour.draw for tumour in kept})
            report.draws += batch.stop - settled
            settled = batch.stop
            report.previewed_out += batch.previewed_out
            report.unsolved += batch.unsolved
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
        yield from _in_turn(maker, first, _BLOCK_DRAWS)
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


def _in_turn(maker: TumourMaker, first: int, draws: int) -> Generator[Batch]:
    for start in itertools.count(first, draws):
        yield maker.settle(start, draws)


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
    return _maker.settle(start, _BLOCK_DRAWS)


def _check_space(files: StoreFiles, tumours: int) -> None:
    if not isinstance(files, LocalFiles):
        return
    path = files.root
    free = shutil.disk_usage(path).free
    needed = tumours * BYTES_A_TUMOUR
    if free < needed:
        raise OutputError(
            f"{path}: {tumours} tumours need about {needed / 1e9:.1f} GB, the disk has {free / 1e9:.1f} GB free",
            hint="free some space, choose another disk, or ask for fewer",
        )
