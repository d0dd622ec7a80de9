"""A process that works on one job, and tells on its standard output how far it is, a line of JSON at a time.

    python -m gliodex.service.job_process FOLDER STORE

FOLDER is that of the job, STORE the path of the store that it names. Nothing but progress and problems is written: no
name of a file of this machine, and nothing of the patient. It ends when who started it does.
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
    folder, store = Path(sys.argv[1]), sys.argv[2]
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # libraries may print what they like

    def tell(**what: Any) -> None:
        channel.write(json.dumps(what) + "\n")

    tell(stage="starting")
    from ..errors import GliodexError
    from .problems import Problem, problem_of

    try:
        _work(folder, store, tell)
    except GliodexError as error:
        tell(problem=problem_of(error, stores={"the store": store}).as_record())
    except MemoryError:
        tell(problem=Problem("no room", 507, "the service has too little memory for this job").as_record())
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"a fault in gliodex ({type(error).__name__} in {Path(where.filename).name}, line {where.lineno})"
        tell(problem=Problem("a fault of the service", 500, f"{told}: please report it").as_record())


def _work(folder: Path, store: str, tell: Any) -> None:
    from ..retrieval.request import background_of, run_query
    from ..store.nifti import load_image
    from ..store.reader import open_store
    from .asking import request_of
    from .views import write_views

    asked = json.loads((folder / "request.json").read_text())
    os.chdir(folder / "uploads")  # so that files and the store are named in what is written as clients name them
    if "://" not in store:
        name = Path(asked["store"])
        name.unlink(missing_ok=True)
        name.symlink_to(store)
        store = asked["store"]
    request = request_of(asked, Path(), f"{store}@{asked['version']}", Path("../result"))
    found, _ = run_query(request, lambda stage: tell(stage=stage))
    tell(stage="pictures for the page")
    store_then = open_store(request.store)
    image = load_image(request.image) if request.image else None
    write_views(found, background_of(found, image, store_then)[0], store_then, request.out)


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_CHECK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
