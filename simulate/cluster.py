"""Filling a store with the workers of a Dask cluster: they simulate and write segments, one committer publishes them.

Workers and committer see the store at the same path or URL. A worker's segment is named by no version until the
committer, in the order of draws, publishes it: what a killed worker left is found by nobody and swept by `gc`, and Dask
gives its draws to another one. So ids and densities are those of a build on one machine.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import GliodexError
from ..store.cluster import connected
from ..store.locations import files_at
from ..store.manifest import Campaign
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord, write_segment
from ..store.writer import StoreWriter
from .build_report import COMMIT_SECONDS, BuildReport, Progress
from .growth_models import ModelSettings
from .prior import Prior
from .sampler import TumourMaker

if TYPE_CHECKING:
    from distributed import Client

TASK_DRAWS = 768
"""Draws that a worker settles before it hands in a segment: a few seconds of work, lost if it is killed."""

_TASKS_AHEAD = 3  # of each worker
_RETRIES = 3


@dataclass(frozen=True)
class Job:
    """What a worker needs to know; it reads the atlas from the store.

    Args:
        location: of the store, the same for all workers.
        settings: of the solver.
        prior: of the parameters and sizes.
        campaign: its key.
        seed: of the campaign.
        snapshots: of each simulation.
        draws: to settle at a time.
    """

    location: str
    settings: ModelSettings
    prior: Prior
    campaign: str
    seed: int
    snapshots: int
    draws: int = field(default_factory=lambda: TASK_DRAWS)


@dataclass(frozen=True)
class Written:
    """A segment that a worker wrote, and what became of its draws.

    Args:
        record: of the segment, ids counted from 0; None where no draw was kept.
        draws: of its tumours.
        start, stop: draws that are settled by it.
        previewed_out: turned down before being simulated.
        unsolved: whose equations could not be solved.
    """

    record: SegmentRecord | None
    draws: tuple[int, ...]
    start: int
    stop: int
    previewed_out: int
    unsolved: int


def write_block(job: Job, start: int) -> Written:
    """Settle `job.draws` draws and write their tumours as a segment: what a worker runs."""
    maker, store = _worker(job)
    batch = maker.settle(start, job.draws)
    record = None
    if batch.tumours:
        provenance: dict[str, object] = {"kind": "prior", "campaign": job.campaign}
        record = write_segment(files_at(job.location), batch.tumours, store.frame, 0, provenance)
    return Written(record, tuple(t.draw for t in batch.tumours), start, batch.stop, batch.previewed_out, batch.unsolved)


def fill_from_cluster(
    writer: StoreWriter,
    campaign: Campaign,
    job: Job,
    scheduler: str,
    report: BuildReport,
    progress: Progress | None,
) -> None:
    """Bring a campaign to the report's target with the workers of the cluster at `scheduler`.

    Raises:
        InputError: no scheduler answers there, or it has no workers.
        GliodexError: a worker failed, or several died over the same draws.
    """
    begun = last_commit = time.monotonic()
    waiting: list[Written] = []

    def publish() -> None:
        nonlocal campaign, last_commit
        campaign = _publish(writer, campaign, waiting, report.target)
        waiting.clear()
        last_commit = time.monotonic()

    with connected(scheduler) as client:
        try:
            for block in _blocks(client, job, campaign.draws):
                waiting.append(block)
                already = campaign.part if block.start == campaign.draws else 0
                kept = min(len(block.draws) - already, report.target - report.count)
                report.count += kept
                report.added += kept
                report.kept_draws += len(set(block.draws[already : already + kept]))
                report.draws += block.stop - block.start
                report.previewed_out += block.previewed_out
                report.unsolved += block.unsolved
                report.seconds = time.monotonic() - begun
                if progress:
                    progress(report)
                if report.count >= report.target:
                    break
                if time.monotonic() - last_commit > COMMIT_SECONDS:
                    publish()
        finally:
            if waiting:
                publish()


def _blocks(client: Client, job: Job, first: int) -> Iterator[Written]:
    """Blocks of draws from `first` on, in order."""
    ahead: deque[Any] = deque()
    start = first
    try:
        while True:
            while len(ahead) < _TASKS_AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"])):
                ahead.append(client.submit(write_block, job, start, pure=False, retries=_RETRIES))
                start += job.draws
            try:
                block: Written = ahead.popleft().result()
            except GliodexError:
                raise
            except Exception as error:  # what Dask raises has no common root
                raise GliodexError(
                    f"the cluster could not settle the draws from {first} on ({type(error).__name__}: {error}): "
                    "what was finished is in the store",
                    hint="run the same command to go on",
                ) from error
            first = block.stop
            yield block
    finally:
        client.cancel(list(ahead))


def _publish(writer: StoreWriter, campaign: Campaign, blocks: list[Written], target: int) -> Campaign:
    """Commit blocks, which come in the order of their draws; of the first and the last only what is wanted."""
    records: list[SegmentRecord] = []
    for block in blocks:
        first = campaign.part if block.start == campaign.draws else 0
        last = min(len(block.draws), first + target - campaign.count)
        draws, part = block.stop, 0
        if last < len(block.draws):
            draws = block.draws[last - 1]
            part = sum(draw == draws for draw in block.draws[:last])
        if block.record is not None and last > first:
            whole = first == 0 and last == len(block.draws)
            records.append(block.record if whole else writer.cut(block.record, first, last))
        campaign = replace(campaign, draws=draws, part=part, count=campaign.count + last - first)
    writer.commit_segments(records, campaign, f"build {campaign.key}: {campaign.count}")
    return campaign


@lru_cache(maxsize=2)
def _worker(job: Job) -> tuple[TumourMaker, TumorStore]:
    store = TumorStore(job.location)
    return TumourMaker(store.atlas, job.settings, job.prior, job.seed, job.snapshots), store
