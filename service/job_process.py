"""A process that works on one job, and tells on its standard output how far it is, a line of JSON at a time.

    python -m gliodex.service.job_process PARENT FOLDER STORE

PARENT is the process that started it, with which it ends; FOLDER is that of the job, STORE the path of the store that
it names. Nothing but progress and problems is written: no name of a file of this machine, and nothing of the patient.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

_CHECK_S = 1.0


def main() -> None:
    """Work on the job."""
    parent, folder, store = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print what they like

    def tell(**what: Any) -> None:
        channel.write(json.dumps(what) + "\n")

    tell(stage="starting")
    from ..errors import GliodexError
    from .problems import Problem, problem_of

    asked = json.loads((folder / "request.json").read_text())
    files = {field: Path(name) for field, name in asked["files"].items()}
    try:
        _work(asked, folder, store, tell)
    except GliodexError as error:
        tell(problem=problem_of(error, files, {"the store": store}).as_record())
    except MemoryError:
        tell(problem=Problem("no room", 507, "the service has too little memory for this job").as_record())
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"a fault in gliodex ({type(error).__name__} in {Path(where.filename).name}, line {where.lineno})"
        tell(problem=Problem("a fault of the service", 500, f"{told}: please report it").as_record())


def _work(asked: dict[str, Any], folder: Path, store: str, tell: Any) -> None:
    from ..retrieval.query import background_of, run_query
    from ..store.reader import open_store
    from .problems import RefusedError
    from .schemas import request_of
    from .viewer_files import write_views

    os.chdir(folder / "uploads")  # so that files and the store are named in what is written as clients name them
    if "://" not in store:
        name = Path(asked["store"])
        name.unlink(missing_ok=True)
        name.symlink_to(store)
        store = asked["store"]
    request = request_of(asked, Path(), f"{store}@{asked['version']}", Path("../result"))
    store_then = open_store(request.store)
    if store_then.manifest.digest != asked["digest"]:
        raise RefusedError(
            503, "the store has changed", "the store was built anew since this was asked", hint="ask again"
        )
    found, _ = run_query(request, lambda stage: tell(stage=stage))
    tell(stage="pictures for the page")
    write_views(found, background_of(found.patient, store_then)[0], store_then, request.out)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
