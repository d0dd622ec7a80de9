"""What an earlier query has left in a folder, and so what the next one may replace there.

A result's record (matches.json, stores.json, forecast.json) lists the files that were written with it, each with its
SHA-256. A file is an earlier query's if it is as it was listed; one that a user has put there or changed is not.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError, OutputError

QUERY_RECORDS, FORECAST_RECORDS = ("matches.json", "stores.json"), ("forecast.json",)
"""Records of one kind replace each other: an answer of one store, and of several."""

TRANSFORM_FILES = tuple(
    f"transform/{name}" for name in ("affine.mat", "inverse_warp.nii.gz", "transform.json", "warp.nii.gz")
)

Stamp = tuple[int, int, int]
"""Inode, size and time of change: a file that keeps all three has not been touched."""


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_within(folder: Path) -> list[str]:
    """Names of all files below a folder, with / between parts."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def record_among(names: Collection[str]) -> str | None:
    """Find the record of a result among the names of its files."""
    return next((name for name in (*reversed(QUERY_RECORDS), *FORECAST_RECORDS) if name in names), None)


class EarlierResults:
    """Results of one kind in a folder.

    Args:
        out: the folder.
        names: files that are to be written there, relative.
        inputs: files, and folders of files, that are read for it: neither replaced nor removed.
    """

    def __init__(self, out: Path, names: Collection[str], inputs: Iterable[Path] = ()) -> None:
        self._out, self._inputs = out, frozenset(_identities(inputs))
        self._stamps: dict[str, Stamp] = {}
        record = record_among(names)
        kind = FORECAST_RECORDS if record in FORECAST_RECORDS else QUERY_RECORDS if record else ()
        self.records = [name for name in kind if (out / name).exists() and _record_in(out / name) is not None]
        self.listed: dict[str, frozenset[str]] = {}
        for name in self.records:
            for file, digests in _listed(_record_in(out / name) or {}, name).items():
                self.listed[file] = self.listed.get(file, frozenset()) | digests

    def check(self, names: Collection[str]) -> None:
        """See that files may be written.

        Raises:
            InputError: one would be written in the place of an input.
            OutputError: there is something in its place that no earlier query of this kind has written, or that was
                changed since.
        """
        for folder in sorted({parent.as_posix() for name in names for parent in PurePosixPath(name).parents} - {"."}):
            self._check_folder(folder)
        if any(name.startswith(_OWN_FOLDER) for name in names) and (self._out / _OWN_FOLDER).is_dir():
            names = {*names, *(_OWN_FOLDER + name for name in files_within(self._out / _OWN_FOLDER))}
        for name in sorted(names):
            if status_of(self._out / name) is None:
                continue
            if _leads_to(self._out / name, self._inputs):
                raise InputError(
                    f"{self._out / name} is an input, and the result would be written in its place",
                    hint="choose another ‹out›",
                )
            if not self.holds(name):
                raise OutputError(
                    f"{self._out / name} is not what an earlier result left there, and would be replaced",
                    hint="move it away, or choose another ‹out›",
                )

    def _check_folder(self, name: str) -> None:
        found = status_of(self._out / name)
        if found is not None and not stat.S_ISDIR(found.st_mode):
            raise OutputError(
                f"{self._out / name} is no folder, and the result has one of that name",
                hint="move it away, or choose another ‹out›",
            )

    def holds(self, name: str) -> bool:
        """Whether a file is as an earlier result left it."""
        return name in self.records or self._is_as(name, self.listed.get(name)) or self._is_of_one_store(name)

    def _is_of_one_store(self, name: str) -> bool:
        """Whether a file of a folder below belongs to the result that lies there: one store's of several."""
        path = PurePosixPath(name)
        record = None if len(path.parts) == 1 else _record_in(self._out / path.parent / _ALONE)
        return record is not None and (path.name == _ALONE or self._is_as(name, _listed(record, _ALONE).get(path.name)))

    def _is_as(self, name: str, digests: frozenset[str] | None) -> bool:
        """Whether a file is one of those that have been listed; no digest is known of an older version's."""
        found = status_of(self._out / name)
        if digests is None or found is None or not stat.S_ISREG(found.st_mode):
            return False
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        if self._stamps.get(name) != stamp and digests and digest_of(self._out / name) not in digests:
            return False
        self._stamps[name] = stamp
        return True

    def left_over(self, names: Collection[str]) -> tuple[list[str], dict[str, str]]:
        """Find what earlier results wrote that new ones do not write.

        Args:
            names: of the new.

        Returns:
            Files to remove, records first, and those that stay as they are inputs, with their digests.
        """
        stale, kept = [name for name in self.records if name not in names], {}
        for name in sorted(set(self.listed) - {*names, *self.records}):
            linked = any((self._out / parent).is_symlink() for parent in list(PurePosixPath(name).parents)[:-1])
            if linked or not self._is_as(name, self.listed[name]):
                continue
            if _leads_to(self._out / name, self._inputs):
                kept[name] = digest_of(self._out / name)
            else:
                stale.append(name)
        return stale, kept


_ALONE = "matches.json"

_OWN_FOLDER = "transform/"
"""A file of another transform in it would be taken for a part of this one."""


def written_by_this_version() -> str:
    """Name of the software, as records have it."""
    return f"gliodex {version('gliodex')}"


def _record_in(path: Path) -> dict[str, Any] | None:
    """Read a record that gliodex has written; None where it is not one."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(record, dict) and str(record.get("software", "")).startswith("gliodex ")
    return record if ours else None


def _listed(record: dict[str, Any], name: str) -> dict[str, frozenset[str]]:
    """Files of a record with the digests that they may have; none where the version that wrote it kept none."""
    found: dict[str, frozenset[str]] = {}
    for part in (record.get("files"), record.get("replaced")):
        for file, digest in part.items() if isinstance(part, dict) else ():
            if _is_below(file):
                found[file] = found.get(file, frozenset()) | {str(digest)}
    if "files" in record:
        return found
    return dict.fromkeys(_older(record, name), frozenset())


def _older(record: dict[str, Any], name: str) -> Iterator[str]:
    """Name what versions before 'files' wrote with a record."""
    yield from TRANSFORM_FILES
    if name == _ALONE:
        yield from OLDER_FILES
    elif name == "stores.json":
        for store in filter(_is_below, record.get("stores") or ()):
            yield from (f"{store}/{file}" for file in (_ALONE, *OLDER_FILES))
    else:
        yield "forecast.png"
        days = [one.get("day") for one in record.get("compared") or () if isinstance(one, dict)]
        for day in {*days, *(record.get("days") or ())}:
            if isinstance(day, int | float):
                yield from (f"{which}_day_{day:g}.nii.gz" for which in (*_MAPS, "core", "whole"))


_MAPS = ("mean", "deviation", "exceedance")

OLDER_FILES = (
    *("core.nii.gz", "density.nii.gz", "density_atlas.nii.gz", "whole.nii.gz"),
    *(f"{name}{where}.nii.gz" for name in _MAPS for where in ("", "_atlas")),
    *("posterior.json", "posterior.png", "report.html", "report.png", "uncertainty.png"),
)
"""What versions that kept no list wrote with matches.json."""


def _is_below(name: object) -> bool:
    """Whether a name stays in its folder: a record may have come from anybody."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def status_of(path: Path) -> os.stat_result | None:
    """Status of a file or a link itself, None where there is none."""
    try:
        return path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _leads_to(path: Path, identities: frozenset[tuple[int, int]]) -> bool:
    """Whether a file is one of some, perhaps by a link."""
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) in identities


def _identities(inputs: Iterable[Path]) -> Iterator[tuple[int, int]]:
    """Device and inode of each file, and of those in each folder; one that cannot be read is told by its reader."""
    for given in inputs:
        try:
            files = [given, *given.iterdir()] if given.is_dir() else [given]
            for file in files:
                found = file.stat()
                yield found.st_dev, found.st_ino
        except (OSError, ValueError):
            continue
