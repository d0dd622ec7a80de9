"""README's figures are the recorded ones."""

import json
import os
import re
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


def test_the_table_of_label_conventions_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks/results/labels.jsonl").read_text().splitlines()[-1])
    text = (ROOT / "docs" / "labels.md").read_text().split("## How often it is right")[1]
    rows = dict(re.findall(r"^\| (.+?) \| (\d.*) \|$", text, re.MULTILINE))
    assert rows == {name: _row(counts) for name, counts in recorded["maps"].items()}
    total = recorded["all numberings"]
    said = f"{total['right'] + total['right, warned']} were right ({total['right, warned']} warned), "
    assert said + f"{total['refused']} refused, {total['wrong, warned']} wrong with a warning, none wrong" in text
    assert total["wrong"] == 0


def _row(counts):
    right, warned = counts["right"] + counts["right, warned"], counts["right, warned"]
    words = {0: "", right: " (all warned)" if right > 1 else " (warned)"}.get(warned, f" ({warned} warned)")
    wrong = f"{counts['wrong, warned']} warned" if counts["wrong, warned"] else str(counts["wrong"])
    return f"{right}{words if right else ''} | {counts['refused']} | {wrong}"


@pytest.mark.parametrize("document", ["README.md", "docs/labels.md", "docs/formats.md", "docs/decisions.md"])
def test_commands_and_options_that_documents_show_exist(document):
    """Every `gliodex COMMAND --option` of a document is one that the command line has."""
    from gliodex.cli.commands import COMMANDS

    wrong, helps = [], {}
    for line in re.findall(r"gliodex ((?:[a-z]+ )+[^\n#`]*)", (ROOT / document).read_text().replace("\\\n", " ")):
        words, place, command = line.split(), COMMANDS, []
        while isinstance(place, dict) and words and words[0] in place:
            command.append(words[0])
            place = place[words.pop(0)]
        if not command:
            continue
        if isinstance(place, dict):
            wrong.append(f"{line}: {' '.join(command)} is a group")
            continue
        name = " ".join(command)
        if name not in helps:
            shown = subprocess.run(
                [sys.executable, "-m", "gliodex.cli.main", *command, "--help"],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"COLUMNS": "200"},
            ).stdout
            helps[name] = set(re.findall(r"--[a-z0-9-]+", shown))
        wrong += [f"{name} {flag}" for flag in re.findall(r"--[a-z0-9-]+", line) if flag not in helps[name]]
    assert not wrong
