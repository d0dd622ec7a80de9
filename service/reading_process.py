"""A process that reads files for the service, with a limit of its memory: see `Reading`, which starts it.

    python -m gliodex.service.reading_process LIMITS

Requests come as lines of JSON on the standard input and are answered on the standard output, the field that is being
read before it is; it ends with the service, when the input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import GliodexError, plain
from .problems import Problem, RefusedError, problem_of, without_places
from .schemas import request_of
from .segmentation_preview import preview_of
from .settings import Limits
from .uploads import take_upload

_FILE = "a file"


def read_sent(
    options: dict[str, Any],
    fields: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    preview: bool,
    tell: Callable[[str], None] = lambda field: None,
) -> dict[str, Any]:
    """Read the files of a request, each alone and then together, as a query will read them.

    Args:
        options: of the request.
        fields: that are files, saved by `save_upload`.
        folder: of the files.
        limits: of one image.
        preview: whether to tell what was understood.
        tell: told of each field before it is read.

    Returns:
        As `Reading.read`.

    Raises:
        RefusedError: a file cannot be used.
    """
    names: dict[str, str] = {}
    for field in fields:
        tell(field)
        names[field] = take_upload(folder, field, limits)
    paths, places = {field: folder / name for field, name in names.items()}, {"what was sent": str(folder)}
    try:
        patient = request_of({"options": options, "files": names}, folder, "", folder).read_patient()
    except GliodexError as error:
        problem = problem_of(error, paths, places)
        raise RefusedError(problem.status, problem.title, problem.cause, problem.field, hint=problem.remedy) from error
    told = preview_of(patient) if preview else None
    if told is not None:
        told |= {
            name: [without_places(plain(text), paths, places) for text in told[name]]
            for name in ("summary", "warnings")
        }
    return {"files": names, "preview": told}


def _answer(asked: dict[str, Any], limits: Limits, tell: Callable[[str], None]) -> dict[str, Any]:
    at = ""

    def reads(field: str) -> None:
        nonlocal at
        at = field
        tell(field)

    try:
        return read_sent(
            asked["options"], asked["fields"], Path(asked["folder"]), limits, preview=asked["preview"], tell=reads
        )
    except RefusedError as error:
        problem = error.problem
    except MemoryError:
        told = f"{at or _FILE} takes more memory than {limits.reading_bytes >> 20:,} MiB to read: send a smaller image"
        problem = RefusedError(413, "too large", told, at).problem
    except Exception as error:
        told = f"a fault of the service ({type(error).__name__}): please report it"
        problem = Problem("a fault of the service", 500, told, at)
    return {"problem": problem.as_record()}


def main() -> None:
    """Read until the input ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print what they like
    with contextlib.suppress(ValueError, OSError):  # where it is lower already
        resource.setrlimit(resource.RLIMIT_DATA, (limits.reading_bytes, limits.reading_bytes))

    def tell(**what: Any) -> None:
        channel.write(json.dumps(what) + "\n")

    for line in sys.stdin:
        tell(**_answer(json.loads(line), limits, lambda field: tell(at=field)))


if __name__ == "__main__":
    main()
