"""The manifest of data tells the truth about what is installed."""

import hashlib
from pathlib import Path

import nilearn
import yaml

ENTRIES = yaml.safe_load((Path(__file__).parent.parent / "data_manifest.yaml").read_text())


def test_every_entry_says_where_from_under_which_licence_and_what_for():
    for entry in ENTRIES:
        assert {"name", "what", "source", "licence", "used_for"} <= set(entry)


def test_the_default_atlas_is_the_one_in_the_manifest():
    files = next(entry["files"] for entry in ENTRIES if entry["name"] == "icbm152")
    folder = Path(nilearn.__file__).parent
    for file in files:
        assert hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() == file["sha256"]
