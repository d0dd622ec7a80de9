import pytest

from gliodex.errors import InputError, StoreError
from gliodex.retrieval.benchmark import over_stores, refined_against


@pytest.fixture
def folder(brain_store):
    return brain_store.path


def noting(seen):
    def compare(path, out, announce):
        seen.append(path)
        announce("asking", 1, 2)
        out.mkdir(exist_ok=True)
        (out / "table.md").write_text(f"table of {path}\n")
        return len(seen)

    return compare


def test_one_store_has_its_results_in_the_folder_itself(folder, tmp_path):
    over_stores([str(folder)], tmp_path / "out", noting([]))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.md"]
    assert (tmp_path / "out" / "table.md").read_text() == f"table of {folder}\n"


def test_of_several_each_has_a_folder_and_all_tables_come_together(folder, tmp_path):
    seen, told, stores = [], [], [str(folder), str(tmp_path / "other")]
    (tmp_path / "other").symlink_to(folder)
    over_stores(
        stores,
        tmp_path / "out",
        noting(seen),
        lambda *step: told.append(step),
        lambda sizes, found: f"{sizes} {found}",
    )
    assert seen == stores
    names = [folder.name, "other"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, "table.md"}
    assert told == [(f"{name}: asking", 1, 2) for name in names]
    parts = []
    for name, path in zip(names, stores, strict=True):
        parts += [f"## {name}: fisher-kolmogorov 3, 24 tumours", f"table of {path}"]
    said = f"{dict.fromkeys(names, 24)} {dict(zip(names, (1, 2), strict=True))}"
    assert (tmp_path / "out" / "table.md").read_text() == "\n\n".join([*parts, said]) + "\n"


def test_a_store_that_is_not_there_is_refused_before_any_work(folder, tmp_path):
    seen = []
    with pytest.raises(StoreError, match="nowhere"):
        over_stores([str(folder), str(tmp_path / "nowhere")], tmp_path / "out", noting(seen))
    assert not seen
    assert not (tmp_path / "out").exists()


def test_two_stores_of_one_name_would_share_a_folder(folder, tmp_path):
    with pytest.raises(InputError, match="share a folder"):
        over_stores([str(folder), f"elsewhere/{folder.name}"], tmp_path / "out", noting([]))


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
