"""`gliodex forecast`: two scans in, later days out."""

import json

import nibabel as nib
import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, GrowthParameters

from ..retrieval.anatomy import brats_labels, write_nifti
from .conftest import query_refused

pytest.importorskip("sbi", reason="the learn extra is not installed")

QUICK = ("--simulations-per-round", "80", "--rounds", "2", "--voxel-mm", "4")
MAPS = {f"{name}_day_{day}.nii.gz" for name in ("mean", "deviation", "exceedance", "core", "whole") for day in (60, 90)}


@pytest.fixture(scope="module")
def files(small_atlas, tmp_path_factory):
    """Files of a tumour on days 0, 60 and 90, by name."""
    folder, affine = tmp_path_factory.mktemp("forecast"), small_atlas.frame.affine
    solver = FisherKolmogorov(small_atlas)
    found = {
        name: write_nifti(folder / f"{name}.nii.gz", getattr(small_atlas, name), affine) for name in ("white", "grey")
    }
    for day in (0, 60, 90):
        density = solver(GrowthParameters((-8.0, -20.0, 12.0), 0.5, 0.04, 130.0 + day))
        found[f"density{day}"] = write_nifti(folder / f"density{day}.nii.gz", density, affine)
        found[f"seg{day}"] = write_nifti(folder / f"seg{day}.nii.gz", brats_labels(density), affine)
        adc = np.where(density > 0.01, 0.7e-3 / np.maximum(density, 0.01), 0.0).astype(np.float32)
        found[f"adc{day}"] = write_nifti(folder / f"adc{day}.nii.gz", adc, affine)
        found[f"mask{day}"] = write_nifti(folder / f"mask{day}.nii.gz", (density >= 0.2).astype(np.uint8), affine)
    return found


@pytest.fixture
def foretell(gliodex, files, out):
    """Forecast from the density of day 0 and the segmentation of day 60, unless said otherwise."""

    def run(*more, first=("--density", files["density0"]), seg=("--seg", files["seg60"]), place=None, until="90"):
        place = ("--wm", files["white"], "--gm", files["grey"]) if place is None else place
        return gliodex(
            "forecast",
            *first,
            *seg,
            *place,
            "--follow-up-day",
            "60",
            "--forecast-days",
            until,
            *QUICK,
            "--out",
            out,
            *more,
        )

    return run


def test_it_writes_numbers_maps_and_a_picture(foretell, files, out):
    ran = foretell("--validation-scan", f"90={files['seg90']}")
    assert ran.code == 0, ran.err
    assert {path.name for path in out.iterdir()} == MAPS | {"forecast.json", "forecast.png"}
    record = json.loads((out / "forecast.json").read_text())
    assert [(one["day"], one["learned_from"]) for one in record["compared"]] == [(60, True), (90, False)]
    assert record["compared"][0]["whole"]["dice"] > 0.85
    assert record["compared"][1]["whole"]["dice"] > 0.75
    assert record["compared"][1]["whole"]["high_ml"] == record["volumes_ml"]["whole"]["high"][-1]
    seg = nib.load(files["seg60"])
    for name in MAPS:
        image = nib.load(out / name)
        np.testing.assert_array_equal(image.affine, seg.affine)
        assert image.shape == seg.shape
        assert 0 <= image.get_fdata().min() <= image.get_fdata().max() <= 1
    for words in ("day 60, whole:", "day 90, core:", "D mm²/day", f"written to {out}"):
        assert words in ran.joined
    assert all(len(line) <= 80 or str(out) in line or line.startswith("day") for line in ran.out.splitlines())


def test_an_adc_stands_for_a_density(foretell, files, out):
    ran = foretell(first=("--adc", files["adc0"], "--adc-mask", files["mask0"]))
    assert ran.code == 0, ran.err
    assert json.loads((out / "forecast.json").read_text())["compared"][0]["whole"]["dice"] > 0.4


@pytest.mark.slow
def test_without_tissue_the_atlas_is_carried_to_the_patient(foretell, out):
    ran = foretell("--voxel-mm", "4", place=("--space", "atlas"))
    assert ran.code == 0, ran.err
    assert (out / "forecast.png").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"until": "soon"}, "--forecast-days takes numbers"),
        ({"until": "-5"}, "above 0"),
        ({"place": ()}, "exactly one alignment"),
        ({"first": ()}, "--density, or as --adc"),
        ({"seg": ()}, "the follow-up as --seg"),
    ],
)
def test_what_is_not_said_is_asked_for(foretell, out, options, said):
    query_refused(foretell(**options), out, said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--diffusivity", "0.5"), "two numbers with a comma"),
        (("--diffusivity", "0.5,0.1"), "range of the diffusivity"),
        (("--proliferation", "a,b"), "takes numbers"),
        (("--validation-scan", "90"), "a day and a segmentation"),
        (("--validation-scan", "60=x.nii.gz"), "another than the follow-up's"),
        (("--voxel-mm", "0"), "--voxel-mm must be above 0"),
        (("--voxel-mm", "30"), "too few to tell rates by"),
        (("--follow-up-day", "0"), "above 0"),
        (("--space", "atlas"), "leave out"),
        (("--rounds", "0"), "rounds"),
        (("--adc", "x.nii.gz"), "--density, or as --adc"),
    ],
)
def test_what_makes_no_sense_is_refused(foretell, out, more, said):
    query_refused(foretell(*more), out, said)


def test_a_density_that_is_none_is_refused(foretell, files, out, tmp_path):
    image = nib.load(files["density0"])
    wrong = write_nifti(tmp_path / "wrong.nii.gz", image.get_fdata().astype(np.float32) * 3, image.affine)
    query_refused(foretell(first=("--density", wrong)), out, "a density lies in [0, 1]")
    away = image.affine.copy()
    away[:3, 3] += 900
    far = write_nifti(tmp_path / "far.nii.gz", image.get_fdata().astype(np.float32), away)
    query_refused(foretell(first=("--density", far)), out, "lies in the tissue")


@pytest.mark.slow
def test_other_grids_are_no_matter(foretell, files, out, tmp_path):
    """The same first density with flipped axes, on a shifted grid."""
    image = nib.load(files["density0"])
    data, affine = image.get_fdata().astype(np.float32), image.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (data.shape[0] - 1)
    affine[:3, 0] *= -1
    flipped = write_nifti(tmp_path / "flipped.nii.gz", np.ascontiguousarray(data[::-1]), affine)
    assert foretell().code == 0
    first = json.loads((out / "forecast.json").read_text())
    assert foretell(first=("--density", flipped)).code == 0
    second = json.loads((out / "forecast.json").read_text())
    for name in ("diffusivity", "proliferation"):
        a, b = (record["credible_intervals"][name]["mean"] for record in (first, second))
        assert a == pytest.approx(b, rel=0.02)
