"""The manifest of data tells the truth about what is installed."""

import hashlib
from importlib.metadata import files, packages_distributions
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
ENTRIES = yaml.safe_load((ROOT / "data_manifest.yaml").read_text())
SHIPPED = {entry["name"]: entry for entry in ENTRIES if "shipped_in" in entry}


def test_every_entry_says_where_from_under_which_licence_and_what_for():
    for entry in ENTRIES:
        assert {"name", "what", "source", "licence", "used_for"} <= set(entry)


def folder_of(package):
    """Where the files of an entry lie: below the package of that name, or beside what its distribution brings."""
    if package == "gliodex":
        return ROOT
    if package not in packages_distributions().get(package, []):
        pytest.skip(f"{package} is not installed")
    first = next(file for file in files(package) if file.parts[0] in {package, "data"})
    base = Path(first.locate()).parents[len(first.parts) - 1]
    return base / package if (base / package / "datasets").is_dir() else base


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_dependency_brings_is_what_the_manifest_says(name):
    entry = SHIPPED[name]
    folder = folder_of(entry["shipped_in"])
    assert {"icbm152", "icbm152-head", "deepbet"} <= set(SHIPPED)
    for file in entry["files"]:
        assert hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() == file["sha256"]
