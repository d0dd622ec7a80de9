"""A manifest: one version of a store, published atomically. A reader that opened one sees exactly that, always.

Version n is the file `manifests/{n:08d}.json`. It says everything that is fixed about the store and names its segments
with the size and SHA-256 of every file. It carries its own SHA-256, so a damaged manifest is never believed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

from ..errors import DamagedStoreError, InputError, NewerSchemaError, NotAStoreError
from .segments import SegmentRecord
from .storage import StoreFiles

SCHEMA = 3
"""Layout of stores written by this version; older ones are read, newer ones refused.

1: the first. 2: tumours can be deleted, and be snapshots of a longer simulation. 3: tumours have a mass effect, and may
have folded the tissue."""

THRESHOLDS = {"whole": 0.2, "core": 0.6}
"""Densities at which FLAIR and T1Gd show a tumour (Ezhov et al. 2022, §2.3)."""

_FOLDER = "manifests"
_FORMAT = "gliodex store"


@dataclass(frozen=True)
class Campaign:
    """Progress of one build: a seed and a prior, and how far its draws have come.

    Args:
        seed: of the random draws.
        prior: record of the prior that they come from.
        draws: how many draws are settled; each is in the store or was rejected.
        count: tumours that it has put in the store.
        part: how many of them come from the first draw that is not settled: its other snapshots are still to come.
    """

    seed: int
    prior: dict[str, object]
    draws: int = 0
    count: int = 0
    part: int = 0

    @property
    def key(self) -> str:
        """Name of the campaign: its seed and a digest of its prior."""
        digest = hashlib.sha256(_canonical(self.prior)).hexdigest()[:8]
        return f"seed-{self.seed}-{digest}"


@dataclass(frozen=True)
class Manifest:
    """What one version of a store holds.

    Args:
        version: counts from 1.
        frame: record of the frame of all densities.
        atlas: name, digest and files of the atlas inside the store.
        model: record of the growth model and its settings.
        thresholds: densities of the whole and core outlines.
        next_id: id that the next tumour gets; ids are never used again.
        segments: in order of their ids.
        campaigns: by key.
        deleted: ids of tumours that lie in segments but are no longer in the store, ascending.
        note: why this version was made.
        committed: UTC time, ISO 8601.
        software: version of gliodex that wrote it.
    """

    version: int
    frame: dict[str, object]
    atlas: dict[str, object]
    model: dict[str, object]
    thresholds: dict[str, float]
    next_id: int = 0
    segments: tuple[SegmentRecord, ...] = ()
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    deleted: tuple[int, ...] = ()
    note: str = ""
    committed: str = ""
    software: str = ""
    schema: int = SCHEMA

    @property
    def count(self) -> int:
        """Tumours in this version."""
        return sum(segment.count for segment in self.segments) - len(self.deleted)

    def successor(self, note: str, software: str, **changes: object) -> Manifest:
        """Return the next version, with `changes` made."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(
            self,
            version=self.version + 1,
            note=note,
            software=software,
            committed=now,
            schema=SCHEMA,
            **changes,  # type: ignore[arg-type]
        )

    def publish(self, files: StoreFiles) -> None:
        """Write this version so that it appears whole.

        Raises:
            FileExistsError: another committer published this version first.
        """
        record = asdict(self)
        body = {"format": _FORMAT, "schema": self.schema, "sha256": _digest(record), "manifest": record}
        files.create(_key(self.version), json.dumps(body, indent=1).encode())

    @property
    def digest(self) -> str:
        """Checksum of all that it says: two stores of the same version have two."""
        return _digest(asdict(self))

    @classmethod
    def versions(cls, files: StoreFiles) -> list[int]:
        """Versions present, oldest first.

        Raises:
            NotAStoreError: there is none.
        """
        names = (key.removeprefix(f"{_FOLDER}/") for key in files.sizes(_FOLDER))
        found = sorted(int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit())
        if not found:
            raise NotAStoreError(
                f"{files.root} is not a gliodex store", hint=f"make one with `gliodex build {files.root}`"
            )
        return found

    @classmethod
    def seal(cls, files: StoreFiles) -> tuple[int, str]:
        """Newest version, and a checksum of its file: changes whenever the store does, and takes no reading of it.

        Raises:
            NotAStoreError: no store here.
        """
        version = cls.versions(files)[-1]
        return version, hashlib.sha256(files.read(_key(version))).hexdigest()

    @classmethod
    def history(cls, files: StoreFiles) -> list[Manifest]:
        """Read every version present, oldest first.

        Raises:
            NotAStoreError, NewerSchemaError, DamagedStoreError: see `load`.
        """
        return [cls.load(files, version) for version in cls.versions(files)]

    @classmethod
    def load(cls, files: StoreFiles, version: int | None = None) -> Manifest:
        """Read a version, the newest by default.

        Raises:
            NotAStoreError: no store here.
            InputError: no such version.
            NewerSchemaError: written by a later gliodex.
            DamagedStoreError: the manifest is not what was written.
        """
        versions = cls.versions(files)
        version = versions[-1] if version is None else version
        if version not in versions:
            raise InputError(
                f"{files.root} has no version {version}: it holds versions {versions[0]} to {versions[-1]}"
            )
        key = _key(version)
        try:
            body = json.loads(files.read(key))
            if body["format"] == _FORMAT and int(body["schema"]) > SCHEMA:
                raise NewerSchemaError(
                    f"{files.root} uses store schema {body['schema']}, this gliodex reads up to {SCHEMA}",
                    hint=f"upgrade gliodex (it was written by {body['manifest'].get('software', 'a newer version')})",
                )
            record = body["manifest"]
            if body["format"] != _FORMAT or body["sha256"] != _digest(record):
                raise ValueError("checksum does not match")
            return cls._from_record(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedStoreError(f"{files.path(key)} is damaged ({error})", hint="restore it from a copy") from error

    @classmethod
    def _from_record(cls, record: dict[str, object]) -> Manifest:
        values = dict(record)
        values["segments"] = tuple(
            SegmentRecord(
                **{
                    **s,
                    "files": {k: (int(n), str(h)) for k, (n, h) in s["files"].items()},
                    "folded": tuple(s.get("folded", ())),
                }
            )
            for s in record["segments"]  # type: ignore[attr-defined]
        )
        values["campaigns"] = {k: Campaign(**c) for k, c in record["campaigns"].items()}  # type: ignore[attr-defined]
        values["deleted"] = tuple(record.get("deleted", ()))  # type: ignore[arg-type]
        return cls(**values)  # type: ignore[arg-type]


def _key(version: int) -> str:
    return f"{_FOLDER}/{version:08d}.json"


def _canonical(record: object) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def _digest(record: object) -> str:
    return hashlib.sha256(_canonical(json.loads(json.dumps(record)))).hexdigest()
