"""README's figures are the recorded ones."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_figures_are_what_the_results_say():
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import tables; text = tables.README.read_text();"
        "block = text.split(tables.BEGIN)[1].split(tables.END)[0].strip();"
        "sys.exit(block != tables.figures() and f'README shows\\n{block}\\nresults say\\n{tables.figures()}')"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_commands_in_readme_exist():
    text = (ROOT / "README.md").read_text()
    rules = (ROOT / "Makefile").read_text()
    for command in ("make demo", "make test"):
        assert command in text
        assert f"\n{command.split()[1]}:" in rules


def test_cards_of_networks_say_what_their_records_and_the_results_say():
    code = (
        "import sys; sys.path.insert(0, 'benchmarks'); import cards;"
        "wrong = [str(path) for path, text in cards.cards().items() if not path.is_file() or path.read_text() != text];"
        "sys.exit(bool(wrong) and f'write them anew with python benchmarks/cards.py: {wrong}')"
    )
    pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_networks_that_are_shipped_are_small_and_have_a_card():
    weights = list((ROOT / "learn").glob("*/weights/*.network"))
    assert sum(path.stat().st_size for path in weights) < 20e6
    assert all(path.with_suffix(".md").is_file() for path in weights)
