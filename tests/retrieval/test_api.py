"""`gliodex.personalize` from Python gives what the command line writes, and a folder of results is read again."""

import gc
import inspect
import json
import shutil

import matplotlib as mpl
import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure

import gliodex
from gliodex.errors import InputError, OutputError
from gliodex.retrieval.api import OPTIONS
from gliodex.retrieval.options import FLAT


@pytest.fixture(scope="module")
def patient(asked, brain_store):
    return gliodex.Patient.from_files(seg=asked.request.seg).in_space("atlas", brain_store.atlas)


@pytest.fixture(scope="module")
def result(patient, brain_store):
    return gliodex.personalize(brain_store, patient, top_k=7)


def test_it_finds_what_a_query_finds(result, asked):
    assert result.record["matches"] == asked.record["matches"]
    assert result.dice == {
        "core": asked.answer.dice["core"],
        "whole": asked.answer.dice["whole"],
        "sum": asked.answer.dice["score"],
    }
    for name in ("density", "core", "whole", "density_atlas"):
        written, found = nib.load(asked.out / f"{name}.nii.gz"), getattr(result, name)
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(written.dataobj))
        np.testing.assert_array_equal(found.affine, written.affine)
        assert found.header.get_xyzt_units() == written.header.get_xyzt_units()


def test_parameters_are_those_of_the_best_match(result, brain_store):
    best = result.record["matches"][0]["id"]
    assert result.parameters == brain_store.parameters(best)
    frame = brain_store.parameters_frame()
    assert frame.index.tolist() == brain_store.ids.tolist()
    assert frame.loc[best, "diffusivity"] == result.parameters.diffusivity
    assert tuple(frame.loc[best, ["seed_x_mm", "seed_y_mm", "seed_z_mm"]]) == result.parameters.seed_mm
    matches = result.matches()
    assert matches.index.tolist() == list(range(1, 8))
    assert matches.loc[1, "id"] == best


def test_posterior_samples_are_a_table(result):
    table = result.posterior.to_dataframe()
    assert len(table) == len(result.posterior)
    assert table["weight"].sum() == pytest.approx(1)
    mean = np.average(table["mu1_mm"], weights=table["weight"])
    assert mean == pytest.approx(result.posterior.intervals["mu1_mm"]["mean"])


def test_saved_and_loaded_it_is_the_same(result, asked, tmp_path):
    out = result.save(tmp_path / "out")
    assert {path.name for path in out.iterdir()} == {path.name for path in asked.out.iterdir()}
    loaded = gliodex.load_result(out)
    assert loaded.dice == result.dice
    assert loaded.parameters == result.parameters
    assert loaded.warnings == result.warnings
    assert loaded.posterior.to_dataframe().equals(result.posterior.to_dataframe())
    np.testing.assert_array_equal(np.asarray(loaded.density.dataobj), np.asarray(result.density.dataobj))
    again = loaded.save(tmp_path / "again")
    assert {path.name for path in again.iterdir()} == {path.name for path in out.iterdir()}
    assert repr(loaded) == repr(result)
    assert len(repr(result)) < 120


def test_a_users_file_is_not_replaced(result, tmp_path):
    (tmp_path / "density.nii.gz").write_bytes(b"mine")
    with pytest.raises(OutputError, match="not what an earlier result left"):
        result.save(tmp_path)
    assert (tmp_path / "density.nii.gz").read_bytes() == b"mine"


def test_a_figure_is_returned_and_no_backend_chosen(result, tmp_path):
    before = dict.__getitem__(mpl.rcParams, "backend")  # as it is, not chosen by asking
    figure = result.plot()
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "a.png")
    loaded = gliodex.load_result(result.save(tmp_path / "out")).plot()
    assert isinstance(loaded, Figure)
    legends = [[text.get_text() for text in one.legends[0].get_texts()] for one in (figure, loaded)]
    assert [any(text.startswith("patient") for text in texts) for texts in legends] == [True, False]
    assert dict.__getitem__(mpl.rcParams, "backend") is before


def test_a_registered_patient_keeps_the_transform(patient_files, brain_store, tmp_path):
    t1, seg = patient_files
    registered = gliodex.Patient.from_files(seg=seg, t1=t1).register(brain_store.atlas, registration="affine")
    result = gliodex.personalize(brain_store, registered)
    out = result.save(tmp_path / "out")
    assert (out / "transform" / "affine.mat").is_file()
    again = gliodex.Patient.from_files(seg=seg).with_transform(out / "transform", brain_store.atlas)
    assert gliodex.personalize(brain_store, again).record["matches"] == result.record["matches"]
    (registered.placed.folder / "notes.txt").write_text("mine")
    out = result.save(tmp_path / "again")
    assert {path.name for path in (out / "transform").iterdir()} == {"affine.mat", "transform.json"}


def test_a_temporary_transform_goes_with_its_patient(patient_files, brain_store):
    t1, seg = patient_files
    registered = gliodex.Patient.from_files(seg=seg, t1=t1).register(brain_store.atlas, registration="affine")
    folder = registered.placed.folder
    assert (folder / "affine.mat").is_file()
    del registered
    gc.collect()
    assert not folder.exists()


def test_refinement_is_an_option(patient, brain_store):
    result = gliodex.personalize(brain_store, patient, refine="local", max_simulations=32, simulation_space="atlas")
    assert result.record["refinement"]["method"] == "local"
    assert result.parameters is not None
    assert "refined by local" in repr(result)


@pytest.mark.parametrize(
    ("options", "said", "parameter"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0", "top_k"),
        ({"t1": "t1.nii.gz"}, "there is no option t1: the options are index", "t1"),
        ({"rounds": 3}, "rounds is for refine=npe", "rounds"),
        ({"keep": True}, "keep adds what refinement found to the store: name a method with refine", "keep"),
        ({"index": "ae", "metric": "jaccard"}, "metric=jaccard requires exact search", "metric"),
    ],
)
def test_errors_name_the_argument_and_no_flag(patient, brain_store, options, said, parameter):
    with pytest.raises(InputError, match=said) as caught:
        gliodex.personalize(brain_store, patient, **options)
    assert caught.value.parameter == parameter
    assert "--" not in str(caught.value)


def test_a_patient_who_is_not_aligned_is_refused(asked, brain_store):
    with pytest.raises(InputError, match="not placed in an atlas yet"):
        gliodex.personalize(brain_store, gliodex.Patient.from_files(seg=asked.request.seg))


def test_the_signature_lists_the_options():
    listed = inspect.signature(gliodex.personalize).parameters
    assert list(listed)[:3] == ["store", "patient", "announce"]
    assert set(listed) - {"store", "patient", "announce"} == set(OPTIONS) < set(FLAT)
    assert listed["top_k"].default == 15


def test_what_is_no_result_is_said(asked, tmp_path):
    with pytest.raises(InputError, match=r"holds no result of a query \(matches\.json is missing\)"):
        gliodex.load_result(tmp_path)
    shutil.copytree(asked.out, tmp_path / "cut")
    record = (tmp_path / "cut" / "matches.json").read_text()
    (tmp_path / "cut" / "matches.json").write_text(record[: len(record) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        gliodex.load_result(tmp_path / "cut")
    shutil.copytree(asked.out, tmp_path / "less")
    (tmp_path / "less" / "density.nii.gz").unlink()
    with pytest.raises(InputError, match=r"density\.nii\.gz is missing"):
        _ = gliodex.load_result(tmp_path / "less").density


def test_a_record_does_not_say_where_to_write(asked, tmp_path):
    shutil.copytree(asked.out, tmp_path / "from" / "out")
    (tmp_path / "from" / "secret").write_text("another's")
    record = json.loads((asked.out / "matches.json").read_text())
    record["files"] = dict.fromkeys((*record["files"], "../secret", str(tmp_path / "from" / "secret")), "")
    (tmp_path / "from" / "out" / "matches.json").write_text(json.dumps(record))
    out = gliodex.load_result(tmp_path / "from" / "out").save(tmp_path / "to" / "out")
    assert {path.name for path in out.iterdir()} == {path.name for path in asked.out.iterdir()}
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["out"]


def test_a_record_that_lacks_something_is_said(asked, tmp_path):
    shutil.copytree(asked.out, tmp_path / "out")
    record = json.loads((asked.out / "matches.json").read_text())
    del record["patient_space"]
    (tmp_path / "out" / "matches.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="has no `patient_space`, as results of a query have"):
        gliodex.load_result(tmp_path / "out")


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert gliodex.__version__ == version("gliodex")


def test_an_older_version_is_not_added_to(patient, brain_store):
    pinned = gliodex.open_store(f"{brain_store.path}@{brain_store.version}")
    with pytest.raises(InputError, match="keep adds to the newest version of a store, not to version"):
        gliodex.personalize(pinned, patient, refine="local", keep=True)
