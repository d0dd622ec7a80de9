"""The folder of a result: all of its files or none, and nothing there that is not an earlier result's is replaced."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import OutputError
from ..store.atomic_io import sync_directory
from ..store.scratch import removed_when_killed
from ..store.stopping import stopping_afterwards
from .earlier_results import (
    EarlierResults,
    digest_of,
    files_within,
    record_among,
    status_of,
    written_by_this_version,
)

_UNFINISHED, _RANDOM_BYTES = ".unfinished-", 8
_STAGE = re.compile(re.escape(_UNFINISHED) + rf"[0-9a-f]{{{2 * _RANDOM_BYTES}}}")


def refuse_overwriting(out: Path, names: Collection[str], inputs: Iterable[Path] = ()) -> None:
    """See, before any work, that a result may be written to a folder.

    Args:
        out: folder for the results.
        names: files that will be written there, relative, with / between parts.
        inputs: files, and folders of files, that are read for it.

    Raises:
        InputError: a file would be written in the place of an input: the same file, whatever it is called (links,
            hard links, `..`, capitals).
        OutputError: one would be written in the place of a file that no earlier result has left there.
    """
    with _writing(out):
        EarlierResults(out, names, inputs).check(names)


@contextmanager
def staged_folder(out: Path, names: Collection[str] = (), inputs: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a folder beside the results; its contents move into `out` when everything in it is complete.

    What earlier results of the same kind have left in `out` makes room for the new; everything else stays. A result
    without a record (`earlier_results`) replaces files of the same names.

    Nothing is left of a result that ends before it is complete, also when the process is killed. Where it is killed
    in the very moment in which files move, the record in `out` says so, and the next result replaces both.

    Args:
        out: folder for the results.
        names: files that will be written, as in `refuse_overwriting`: asked before the work, and again after it.
        inputs: as there.

    Raises:
        OutputError: `out` cannot be made or written to, which is asked before the work, not after it; or another
            process is writing to it.
        GliodexError: as `refuse_overwriting`.
    """
    names, inputs = frozenset(names), tuple(inputs)
    with _writing(out):
        status_of(out)  # `exists` is False of what the system refuses to look at
        below = {out / parent for name in names for parent in PurePosixPath(name).parents if parent.name}
        made = [folder for folder in (*below, out, *out.parents) if not folder.exists()]
        refuse_overwriting(out, names, inputs)
    stage = out / f"{_UNFINISHED}{secrets.token_hex(_RANDOM_BYTES)}"
    with removed_when_killed(stage, made, f"stopped before the results in {out} were complete"):
        try:
            with _writing(out):
                out.mkdir(parents=True, exist_ok=True)
            with _held(out):
                with _writing(out):
                    stage.mkdir()
                yield stage
                with _writing(out), stopping_afterwards():
                    _publish(out, stage, inputs)
        except BaseException as error:
            shutil.rmtree(stage, ignore_errors=True)
            _remove_empty(made)
            if isinstance(error, OSError) and error.errno in _FULL and not isinstance(error, OutputError):
                raise OutputError(
                    f"cannot write to {out}: the disk is full", hint="free some, or choose another"
                ) from error
            raise


def inputs_of(options: Any) -> Iterator[Path]:
    """Find every path in a dataclass of options, its `out` apart: the files that are read."""
    if isinstance(options, Path):
        yield options
    elif isinstance(options, tuple | list):
        for one in options:
            yield from inputs_of(one)
    elif is_dataclass(options):
        for one in fields(options):
            if one.name != "out":
                yield from inputs_of(getattr(options, one.name))


_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Tell what is wrong with a place as an error that the user can mend."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise OutputError(f"cannot write to {out}: {reason}", hint="choose another ‹out›") from error
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise OutputError(f"cannot write to {str(out)!r}: {error}", hint="choose another ‹out›") from error


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold a folder against other queries, and remove what dead ones have left in it.

    The kernel frees the lock when its holder ends, however it ends. Where a file system knows no locks, there is none.

    Raises:
        OutputError: another process holds it.
    """
    with _writing(out):
        handle = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another process is writing results to {out}",
                hint="wait for it, or choose another ‹out›",
            ) from None
        except OSError:
            yield
            return
        for left in out.glob(f"{_UNFINISHED}*"):
            if _STAGE.fullmatch(left.name) and not left.is_symlink():  # a folder of the user's may begin so, too
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders, innermost first, up to the first that holds something or is not there."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            continue


def list_files(record: dict[str, Any], folder: Path, name: str) -> None:
    """Add "files" to a result's record: SHA-256 of each file that lies in a folder, by its name.

    Args:
        record: to be written as `name` in the folder, when everything else is there.
        folder: of the result.
        name: of the record.
    """
    record["files"] = {file: digest_of(folder / file) for file in files_within(folder) if file != name}


def _publish(out: Path, stage: Path, inputs: tuple[Path, ...]) -> None:
    """Move a complete result to its place.

    A record that says that files are being replaced is there first, and names those of both results; the new one comes
    last. So there is no moment in which files of two results lie there and the record tells of one.
    """
    names = files_within(stage)
    earlier = EarlierResults(out, names, inputs)
    record = record_among(names)
    if record is None:
        _move(out, stage, names)
        shutil.rmtree(stage)
        return
    earlier.check(names)
    stale, kept = earlier.left_over(names)
    files = _completed(stage, record, names, kept)
    for name in names:
        _sync(stage / name)
    earlier_files = {name: _digest_there(out / name) for name in (*stale, *names) if name != record}
    interim = {
        "software": written_by_this_version(),
        "notice": "files of two results lie here: a query was killed while it replaced one by the other. Run it again",
        "files": files,
        "replaced": {name: digest for name, digest in earlier_files.items() if digest},
    }
    _write(stage / _INTERIM, interim)
    (stage / _INTERIM).replace(out / record)
    sync_directory(out)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    _move(out, stage, [name for name in names if name != record])
    emptied = {out / parent for name in stale for parent in PurePosixPath(name).parents if parent.name}
    _remove_empty(sorted(emptied, key=lambda folder: -len(folder.parts)))
    sync_directory(out)
    (stage / record).replace(out / record)
    sync_directory(out)
    shutil.rmtree(stage)


_INTERIM = ".interim"


def _move(out: Path, stage: Path, names: Iterable[str]) -> None:
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).replace(out / name)


def _completed(stage: Path, record: str, names: list[str], kept: dict[str, str]) -> dict[str, str]:
    """See that a record lists every file of its result; those of an earlier one that are kept belong to it, too."""
    found = json.loads((stage / record).read_bytes())
    listed = found.get("files", {})
    files = {name: listed.get(name) or digest_of(stage / name) for name in names if name != record} | kept
    if files != listed:
        _write(stage / record, found | {"files": files})
    return files


def _digest_there(path: Path) -> str | None:
    return digest_of(path) if path.is_file() else None


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2), encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
