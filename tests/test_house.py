"""The architecture: imports only point down, and nothing heavy is loaded before it is needed."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import gliodex

ROOT = Path(gliodex.__file__).parent
FLOORS = ["store", "simulate", "learn", "index", "retrieval", "evaluation", "service", "cli"]
MAY_IMPORT = {
    "store": set(),
    "simulate": {"store"},
    "learn": {"store", "simulate"},
    "index": {"store", "learn"},
    "retrieval": {"store", "simulate", "learn", "index"},
    "evaluation": {"store", "simulate", "learn", "index", "retrieval"},
    "service": {"store", "index", "retrieval"},
    "cli": {"service", "store", "simulate", "learn", "index", "retrieval", "evaluation"},
}


def rooms_imported(path: Path, floor: str) -> set[str]:
    """Other floors that a file imports, from its relative imports."""
    depth = len(path.relative_to(ROOT / floor).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level > depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names} & set(FLOORS)
    return found


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_only_point_down(floor):
    files = sorted((ROOT / floor).rglob("*.py"))
    assert files
    wrong = {
        str(path.relative_to(ROOT)): upward
        for path in files
        if (upward := rooms_imported(path, floor) - MAY_IMPORT[floor])
    }
    assert not wrong


def test_the_package_does_not_load_what_only_some_commands_need():
    code = "import sys, gliodex, gliodex.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "gliodex.cli.main" in loaded
    heavy = {"ants", "fastapi", "matplotlib", "nibabel", "nilearn", "numba", "numpy", "scipy", "torch", "zarr"}
    assert heavy.isdisjoint(loaded)


def test_every_name_that_a_package_promises_is_there_and_no_module():
    stubs = [ROOT / "__init__.pyi", *(path for floor in FLOORS for path in (ROOT / floor).rglob("__init__.pyi"))]
    assert len(stubs) > 10
    for path in stubs:
        package = importlib.import_module(".".join(("gliodex", *path.parent.relative_to(ROOT).parts)))
        assert package.__all__
        assert not [name for name in package.__all__ if isinstance(getattr(package, name), ModuleType)]
