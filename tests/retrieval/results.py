"""Results in a folder, as a query leaves them, without a query."""

import json

from gliodex.retrieval.outputs import write_record
from gliodex.retrieval.result_folder import staged_folder

from .anatomy import files_below

RECORD = {"software": "gliodex 1.0", "matches": []}


def put(out, files, record="matches", begun=None, **options):
    """Leave a result in a folder, as a query does, and tell that the work began."""
    with staged_folder(out, **options) as stage:
        if begun is not None:
            begun.append(stage)
        for name, text in files.items():
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_text(text)
        write_record(dict(RECORD), stage, record)


def texts(folder):
    """Contents of the files below a folder, its record apart."""
    return {name: data.decode() for name, data in files_below(folder).items() if name != "matches.json"}


def told(out, record="matches"):
    return json.loads((out / f"{record}.json").read_text())


def text(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
