"""`gliodex query` of several stores at once."""

import json
import shutil

from ..retrieval.anatomy import RESULT_FILES


def test_each_stores_answer_is_printed_and_the_closest_named(ask, indexed_store, out, tmp_path):
    other = shutil.copytree(indexed_store, tmp_path / "[other]")
    ran = ask(str(other), "--labels", "brats")
    assert (ran.code, ran.err.strip()) == (0, "")
    assert {p.name for p in out.iterdir()} == {"stores.json", indexed_store.name, "[other]"}
    assert {p.name for p in (out / "[other]").iterdir()} == RESULT_FILES
    assert json.loads((out / "stores.json").read_text())["best"] == indexed_store.name
    assert ran.joined.count("tumour 3 of 5") == 2
    assert f"{indexed_store.name} is the closest" in ran.joined
    assert "[other]" in ran.joined
    assert "gliodex bench plausibility" in ran.joined
