"""README's figures are the recorded ones."""

import subprocess
import sys
from pathlib import Path

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
