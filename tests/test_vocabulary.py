"""The words of the field: what a reader would have to ask for may not stand in code, help, errors or docs."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXTS = sorted(
    path
    for ending in ("py", "pyi", "md", "html", "toml", "yaml", "cff")
    for path in ROOT.rglob(f"*.{ending}")
    if not any(part.startswith(".") or part == "static" for part in path.relative_to(ROOT).parts)
    and path.name not in {Path(__file__).name}
)
CITED = re.compile(r"Ezhov et al\.(?:'s)? \(?(\d{4})")


@pytest.mark.parametrize("pattern", [r"\b[Pp]apers? 00\d"])
def test_words_that_may_not_stand(pattern):
    found = {
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line)
    }
    assert not found


def test_every_paper_of_ezhov_that_is_cited_is_in_the_bibliography():
    keys = set(re.findall(r"@\w+\{ezhov(\d{4})", (ROOT / "docs" / "references.bib").read_text()))
    cited = {year for path in TEXTS for year in CITED.findall(path.read_text())}
    assert cited == keys == {"2019", "2021", "2022", "2023"}


def test_from_python_no_error_names_a_flag_of_the_command_line():
    """Only the command line's own rooms write options as flags: elsewhere a message mentions `‹name›`."""
    flag = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
    found = []
    for path in TEXTS:
        parts = path.relative_to(ROOT).parts
        if path.suffix != ".py" or parts[0] in ("cli", "tests", "benchmarks"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith(("Error", "unusable", "Doubt")):
                words = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                found += [f"{'/'.join(parts)}:{node.lineno}" for text in words if flag.search(str(text))]
    assert not found
