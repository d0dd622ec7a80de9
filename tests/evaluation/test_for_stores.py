from dataclasses import dataclass
from pathlib import Path

import pytest

from gliodex.errors import InputError, StoreError
from gliodex.evaluation import over_stores, refined_against


@pytest.fixture
def folder(brain_store):
    return brain_store.path


@dataclass(frozen=True)
class Wanted:
    store: str
    out: Path


def refusing(*stores):
    def check(wanted):
        if wanted.store in stores:
            raise InputError(f"{wanted.store} will not do")

    return check


def noting(seen, *, fails_in=()):
    def compare(wanted, announce):
        seen.append(wanted.store)
        if wanted.store in fails_in:
            raise InputError(f"{wanted.store} failed")
        announce("asking", 1, 2)
        wanted.out.mkdir(parents=True, exist_ok=True)
        (wanted.out / "table.md").write_text(f"table of {wanted.store}\n")
        return len(seen)

    return compare


@pytest.fixture
def two(folder, tmp_path):
    (tmp_path / "other").symlink_to(folder)
    return [str(folder), str(tmp_path / "other")]


def test_one_store_has_its_results_in_the_folder_itself(folder, tmp_path):
    over_stores([str(folder)], tmp_path / "out", Wanted, refusing(), noting([]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.md"]
    assert (tmp_path / "out" / "table.md").read_text() == f"table of {folder}\n"


def test_of_several_each_has_a_folder_and_all_tables_come_together(two, tmp_path):
    seen, told = [], []
    over_stores(
        two,
        tmp_path / "out",
        Wanted,
        refusing(),
        noting(seen),
        lambda *step: told.append(step),
        lambda sizes, found: f"{sizes} {found}",
    )
    assert seen == two
    names = [Path(path).name for path in two]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "table.md"}
    assert told == [(f"{name}: asking", 1, 2) for name in names]
    parts = []
    for name, path in zip(names, two, strict=True):
        parts += [f"## {name}: fisher-kolmogorov 4, 24 tumours", f"table of {path}"]
    said = f"{dict.fromkeys(names, 24)} {dict(zip(names, (1, 2), strict=True))}"
    assert (tmp_path / "out" / "table.md").read_text() == "\n\n".join([*parts, said]) + "\n"


def test_what_the_last_store_lacks_is_said_before_any_work(folder, two, tmp_path):
    seen = []
    with pytest.raises(StoreError, match="nowhere"):
        over_stores([str(folder), str(tmp_path / "nowhere")], tmp_path / "out", Wanted, refusing(), noting(seen))
    with pytest.raises(InputError, match="other will not do"):
        over_stores(two, tmp_path / "out", Wanted, refusing(two[1]), noting(seen))
    assert not seen
    assert not (tmp_path / "out").exists()


def test_what_earlier_stores_gave_is_kept_where_a_later_one_fails(two, tmp_path):
    with pytest.raises(InputError, match="other failed"):
        over_stores(two, tmp_path / "out", Wanted, refusing(), noting([], fails_in=two[1:]))
    (kept,) = (tmp_path / "out").rglob("*.md")
    assert kept.parent.name == Path(two[0]).name


def test_two_stores_of_one_name_would_share_a_folder(folder, tmp_path):
    paths = [str(folder), f"elsewhere/{folder.name}"]
    with pytest.raises(InputError, match="share a folder"):
        over_stores(paths, tmp_path / "out", Wanted, refusing(), noting([]))


def patients(scores, stage="local"):
    return [{"set": "patients", "stage": stage, "label": str(n), "score": score} for n, score in enumerate(scores)]


def test_answers_are_held_against_each_other_patient_by_patient():
    one, other = [1.0, 1.2, 1.4, 1.1, 1.3, 1.5], [1.11, 1.29, 1.51, 1.2, 1.41, 1.6]
    said = refined_against({"fk": 5000, "me": 5000}, {"fk": patients(one), "me": patients(other[::-1])[::-1]})
    assert said.startswith("Patients, local: me against fk, core + whole: +0.103 (95 % ")
    turned = [row | {"label": str(5 - n)} for n, row in enumerate(patients(other[::-1]))]
    paired = refined_against({"fk": 5000, "me": 5000}, {"fk": patients(one), "me": turned})
    assert "closer to the patients" in paired
    assert refined_against({"fk": 5000, "me": 9000}, {"fk": patients(one), "me": turned}).endswith("larger is closer.")


@pytest.mark.parametrize("rows", [[], patients([1.0, 1.1])])
def test_nothing_is_said_of_too_few_patients(rows):
    assert not refined_against({"fk": 10, "me": 10}, {"fk": rows, "me": rows})
