"""What a service is told when it starts, and tells its workers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import InputError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Args:
        upload_bytes: of one request.
        voxels: of one image, all channels counted.
        reading_bytes: memory of the process that reads what is sent.
        reading_s: how long the files of one request may take to read.
        waiting: jobs in the queue.
        job_s: of one job.
        kept_s: how long uploads and results are kept after a job has ended.
        silence_s: how long a client may send nothing while it sends.
        upload_s: how long a request may take to arrive.
        attempts: how often a job may be begun that kills who works on it.
    """

    upload_bytes: int = 256 * MIB
    voxels: int = 1 << 27
    reading_bytes: int = 4096 * MIB
    reading_s: float = 120.0
    waiting: int = 32
    job_s: float = 3600.0
    kept_s: float = 7 * 24 * 3600.0
    silence_s: float = 20.0
    upload_s: float = 300.0
    attempts: int = 3


@dataclass(frozen=True)
class ServiceSettings:
    """A service.

    Args:
        stores: path of each store, by the name that clients use; without versions.
        folder: where jobs, their files and the queue are.
        limits: see `Limits`.
        redis: URL of a Redis server that holds the queue; an embedded database in `folder` without one.
        workers: jobs that are worked on at a time.
    """

    stores: dict[str, str]
    folder: Path
    limits: Limits = field(default_factory=Limits)
    redis: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if not self.stores:
            raise InputError("a service needs at least one store")
        for name, path in self.stores.items():
            if "@" in path.rpartition("/")[2]:
                raise InputError(f"{path}: a service follows its stores as they grow", hint="name it without a version")
            if not name or not all(c.isalnum() or c in "-_." for c in name) or name.startswith("."):
                raise InputError(f"a store cannot be called `{name}`: letters, digits, - and _ make a name")

    def as_json(self) -> str:
        """Tell them to another process."""
        return json.dumps(asdict(self) | {"folder": str(self.folder)})

    @classmethod
    def from_json(cls, told: str) -> ServiceSettings:
        """Inverse of `as_json`."""
        record = json.loads(told)
        return cls(**record | {"folder": Path(record["folder"]), "limits": Limits(**record["limits"])})
