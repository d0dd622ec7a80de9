"""What an installation holds."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_INSTALLED = {"tests", "benchmarks", "docs"}


def test_every_package_is_installed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(("gliodex", *path.parent.relative_to(ROOT).parts))
        for path in ROOT.rglob("__init__.py")
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        and path.relative_to(ROOT).parts[0] not in NOT_INSTALLED
    }
    assert listed == found
