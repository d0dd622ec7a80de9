"""Writing a store: segments are written aside, and a commit makes them visible all at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..errors import DamagedStoreError, InputError, StoreLockedError, UnknownTumourError
from .atlas import Atlas
from .atlas_files import read_atlas, write_atlas
from .density import EncodedTumour, unpacked_bytes
from .frame import Frame
from .local_files import LocalFiles
from .locations import files_at
from .manifest import THRESHOLDS, Campaign, Manifest
from .segments import Segment, SegmentRecord, write_segment
from .storage import PARTIAL, StoreFiles

SOFTWARE = f"gliodex {version('gliodex')}"


class StoreWriter:
    """The one committer of a store; get it from `writing`."""

    def __init__(self, files: StoreFiles, manifest: Manifest) -> None:
        self._files = files
        self.manifest = manifest
        self.frame = Frame.from_record(manifest.frame)

    def commit_tumours(
        self,
        tumours: Sequence[EncodedTumour],
        provenance: dict[str, object],
        campaign: Campaign | None = None,
        note: str = "",
    ) -> SegmentRecord | None:
        """Write tumours as one segment and publish the version that holds them.

        Args:
            tumours: may be empty, to record a campaign's progress alone.
            provenance: where they come from, kept with the segment.
            campaign: its new progress, published in the same commit.
            note: why, for the store's history.
        """
        expected = 2 * int(np.prod(self.frame.shape))
        if any(unpacked_bytes(t.chunk) != expected for t in tumours):
            raise InputError(f"a tumour was not encoded on the store's frame {self.frame.shape}")
        record = None
        segments = self.manifest.segments
        if tumours:
            record = write_segment(self._files, tumours, self.frame, self.manifest.next_id, provenance)
            segments = (*segments, record)
        campaigns = dict(self.manifest.campaigns)
        if campaign is not None:
            campaigns[campaign.key] = campaign
        self._publish(
            note,
            segments=segments,
            campaigns=campaigns,
            next_id=self.manifest.next_id + len(tumours),
        )
        return record

    def commit_segments(self, records: Sequence[SegmentRecord], campaign: Campaign, note: str = "") -> None:
        """Publish segments that others have written, in this order, and a campaign's progress."""
        next_id = self.manifest.next_id
        numbered = []
        for record in records:
            numbered.append(replace(record, first_id=next_id))
            next_id += record.count
        self._publish(
            note,
            segments=(*self.manifest.segments, *numbered),
            campaigns=self.manifest.campaigns | {campaign.key: campaign},
            next_id=next_id,
        )

    def cut(self, record: SegmentRecord, first: int, last: int) -> SegmentRecord:
        """Write rows `first` to `last` (not included) of a segment as a segment of their own."""
        segment = Segment(self._files, record, self.frame)
        tumours = [segment.encoded(row) for row in range(first, last)]
        return write_segment(self._files, tumours, self.frame, 0, record.provenance)

    @cached_property
    def atlas(self) -> Atlas:
        """Tissue that the store's tumours grow in; checked against the manifest."""
        return read_atlas(self._files, self.manifest.atlas, self.frame)

    def delete(self, ids: Iterable[int], note: str = "") -> None:
        """Publish a version without these tumours; older versions keep them, and no id is used again.

        Raises:
            InputError: there are none.
            UnknownTumourError: the store does not hold one of them.
        """
        going, gone = set(ids), set(self.manifest.deleted)
        if not going:
            raise InputError("name the tumours to delete")
        held = {tumour for segment in self.manifest.segments for tumour in segment.ids if tumour in going} - gone
        if unknown := sorted(going - held):
            raise UnknownTumourError(
                f"{self._files.root} holds no tumour {', '.join(map(str, unknown[:5]))}: nothing was deleted"
            )
        gone |= going
        left = tuple(segment for segment in self.manifest.segments if not gone.issuperset(segment.ids))
        still_there = {tumour for segment in left for tumour in segment.ids if tumour in gone}
        self._publish(note or f"deleted {len(going)} tumours", segments=left, deleted=tuple(sorted(still_there)))

    def _publish(self, note: str, **changes: object) -> None:
        manifest = self.manifest.successor(note, SOFTWARE, **changes)
        try:
            manifest.publish(self._files)
        except FileExistsError:
            raise StoreLockedError(
                f"{self._files.root}: another process published version {manifest.version} first", hint="run again"
            ) from None
        self.manifest = manifest


@contextmanager
def writing(path: str | Path, purpose: str) -> Iterator[StoreWriter]:
    """Open an existing store for commits; only one process at a time may.

    Raises:
        NotAStoreError, StoreLockedError, OutputError, DamagedStoreError: see each.
    """
    files = files_at(path)
    Manifest.versions(files)
    with files.committer(purpose):
        yield StoreWriter(files, Manifest.load(files))


@contextmanager
def creating(path: str | Path, atlas: Atlas, model: dict[str, object], purpose: str) -> Iterator[StoreWriter]:
    """Open a store for commits, making it where there is none.

    Raises:
        InputError: the path holds something else, or a store of another atlas or model.
        StoreLockedError, OutputError, DamagedStoreError: see each.
    """
    files = files_at(path)
    there = _refuse_foreign(files)
    with files.committer(purpose):
        if there or any(key.endswith(".json") for key in files.sizes("manifests")):
            manifest = Manifest.load(files)
            _same_making(files.root, manifest, atlas, model)
        else:
            blank = Manifest(
                version=0,
                frame=atlas.frame.as_record(),
                atlas=write_atlas(files, atlas),
                model=model,
                thresholds=dict(THRESHOLDS),
            )
            manifest = blank.successor("created", SOFTWARE)
            manifest.publish(files)
        yield StoreWriter(files, manifest)


def collect_garbage(path: str | Path, keep: int = 1, keep_days: float = 0.0) -> tuple[int, int]:
    """Delete old versions, and every file that no kept version names.

    Derived data looks after itself; see the index.

    Args:
        path: folder of the store.
        keep: how many of the newest versions to keep.
        keep_days: also keep those committed so many days ago or later, and the one that was the newest then.

    Returns:
        Files deleted and bytes freed.
    """
    if keep < 1 or not keep_days >= 0:
        raise InputError(f"gc must keep at least one version and no negative days, not {keep} and {keep_days}")
    files = files_at(path)
    Manifest.versions(files)
    with files.committer("gliodex gc"):
        versions = Manifest.versions(files)
        kept = [Manifest.load(files, v) for v in versions[-keep:]]
        since = datetime.now(UTC) - timedelta(days=min(keep_days, _LONGEST_DAYS))
        for version in reversed(versions[:-keep] if keep_days else []):
            if datetime.fromisoformat(kept[0].committed) < since:
                break
            kept.insert(0, Manifest.load(files, version))
        needed = {key for manifest in kept for key in _named(manifest)}
        no_longer: set[str] = set()
        for version in range(versions[0], kept[0].version):
            with suppress(InputError, DamagedStoreError):  # a gap, or damaged: nobody can read it anyway
                no_longer |= set(_named(Manifest.load(files, version))) - needed
        removed = freed = 0
        for key in files.sizes():
            ours = key.split("/")[0] in {"manifests", "atlas", "segments"}
            stray = key.endswith(PARTIAL) or (ours and key not in needed and key not in no_longer)
            if key in no_longer or (stray and not files.may_be_in_progress(key)):
                freed += files.remove(key)
                removed += 1
        files.tidy()
    return removed, freed


_LONGEST_DAYS = 365_000.0  # no calendar goes back farther


def _named(manifest: Manifest) -> Iterator[str]:
    """Every file that a version is made of."""
    yield f"manifests/{manifest.version:08d}.json"
    yield from (f"{manifest.atlas['folder']}/{key}" for key in manifest.atlas["files"])  # type: ignore[attr-defined]
    for segment in manifest.segments:
        yield from (f"segments/{segment.name}/{key}" for key in segment.files)


def _refuse_foreign(files: StoreFiles) -> bool:
    """Refuse a place that holds something else; tell whether a store is there."""
    root = files.root
    if isinstance(files, LocalFiles) and files.root.is_file():
        raise InputError(f"{root} is a file", hint="give a folder for the store")
    folders = _folder_names(files)
    others = [name for name in folders if name not in _OWN_NAMES]
    there = "manifests" in folders and any(key.endswith(".json") for key in files.sizes("manifests"))
    if not there and not others:
        others = [key for key in files.sizes() if not _LEFT_BY_A_KILLED_BUILD.match(key)]
    if others:
        raise InputError(
            f"{root} already holds something else ({', '.join(sorted(others)[:3])})", hint="give a new or empty folder"
        )
    return there


def _folder_names(files: StoreFiles) -> list[str]:
    if isinstance(files, LocalFiles):  # a large folder of someone else's shall not be walked
        return [entry.name for entry in files.root.iterdir()] if files.root.is_dir() else []
    return sorted({key.split("/")[0] for key in files.sizes()})


_LEFT_BY_A_KILLED_BUILD = re.compile(r"lock$|atlas/[0-9a-f]{12}/|segments/[0-9a-f]{12}/|.*\.partial$")
_OWN_NAMES = {"manifests", "atlas", "segments", "derived", "lock"}


def _same_making(root: Path | str, manifest: Manifest, atlas: Atlas, model: dict[str, object]) -> None:
    if manifest.atlas["digest"] != atlas.digest:
        raise InputError(
            f"{root} was built in the atlas {manifest.atlas['name']}, not in {atlas.name} as asked",
            hint="use its atlas, or another folder for this one",
        )
    plain = json.loads(json.dumps(model))
    if plain.get("model") != manifest.model.get("model"):
        raise InputError(
            f"{root} was built with the growth model {manifest.model.get('model')}, not with {plain.get('model')}",
            hint="use another folder",
        )
    differing = sorted(k for k in plain | manifest.model if plain.get(k) != manifest.model.get(k))
    if differing:
        raise InputError(
            f"{root} was built with another growth model ({', '.join(differing)} differ)", hint="use another folder"
        )
