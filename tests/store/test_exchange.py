import dataclasses
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gliodex.errors import (
    InputError,
    NotAStoreError,
    OutputError,
    StoreLockedError,
    UnknownParametersError,
    UnknownTumourError,
)
from gliodex.store import UNITS, Frame, GrowthParameters, creating, open_store, verify, writing
from gliodex.store.exchange import LARGEST_LOSS, add_density, export
from gliodex.store.nifti import Image, load_image, save_image

from .looking import contents, contents_at, keys

PARAMETERS = GrowthParameters((1.5, -20.0, 12.0), 0.12, 0.03, 250.0)
PROVENANCE = {"kind": "added", "source": "a test"}
MIDDLE = np.array([1.0, -14.0, 6.0])
"""Of the analytic ball, mm: off the middle of every grid, so that a flipped axis would move it."""


@pytest.fixture
def store(tmp_path, small_atlas):
    """Path of an empty store on a 40 x 36 x 32 frame of 4 mm."""
    with creating(tmp_path / "store", small_atlas, {"model": "test"}, "test"):
        pass
    return tmp_path / "store"


def bump(points, centre=MIDDLE, radius=24.0, peak=0.9):
    """Analytic density at points in mm: peak * (1 - (d / radius)²)², once differentiable everywhere."""
    distance = np.linalg.norm(points - np.asarray(centre), axis=-1)
    return (peak * np.clip(1 - (distance / radius) ** 2, 0, 1) ** 2).astype(np.float32)


def on(frame, **options):
    """The analytic density as an image on a frame."""
    points = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
    return Image(bump(points, **options), frame, Path("bump.nii.gz"))


def box(spacing, turned=None, shape=(64, 64, 64)):
    """Frame of such voxels whose middle is near that of the ball."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if turned is None else turned) @ np.diag(spacing)
    affine[:3, 3] = MIDDLE + np.array([0.3, -0.4, 0.2]) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


GRIDS = {
    "finer": box((1.0, 1.0, 1.0)),
    "finer along one axis": box((4.0, 0.8, 4.0), shape=(20, 80, 20)),
    "flipped": box((-1.0, -1.0, 1.0)),
    "flipped and swapped": box((1.2, 1.0, -1.0), np.eye(3)[[2, 0, 1]]),
    "oblique": box((1.0, 1.1, 0.9), Rotation.from_euler("xyz", (20, -35, 50), degrees=True).as_matrix()),
    "oblique and mirrored": box((-1.0, 1.1, 0.9), Rotation.from_euler("xyz", (-70, 10, 130), degrees=True).as_matrix()),
}


def test_a_density_on_the_store_s_own_grid_is_kept_to_the_last_integer(store, small_atlas):
    image = on(small_atlas.frame)
    assert add_density(store, image, PARAMETERS, PROVENANCE) == 0
    opened = open_store(store)
    np.testing.assert_array_equal(opened.integers(0), np.floor(4095 * image.data.astype(np.float64)))
    assert opened.parameters(0) == PARAMETERS
    assert opened.provenance(0) == PROVENANCE | {"draw": -1, "snapshot": 0}
    assert opened.version == 2
    assert opened.manifest.note == "added bump.nii.gz"
    assert verify(opened, full=True) == []


@pytest.mark.parametrize("grid", GRIDS)
def test_a_density_on_another_grid_is_that_of_the_analytic_ball(store, small_atlas, grid):
    frame = small_atlas.frame
    points = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
    expected = bump(points)
    add_density(store, on(GRIDS[grid]), None, PROVENANCE)
    density = open_store(store).density(0)
    # the second derivatives are at most 8 peak / radius²; linear interpolation between voxels h apart is off by h²/8
    # of them, and a mean over the store's voxels of H by H²/24
    second = 8 * 0.9 / 24.0**2
    largest = second * (sum(h**2 for h in GRIDS[grid].spacing) / 8 + sum(h**2 for h in frame.spacing) / 24) + 1 / 4095
    assert np.abs(density - expected).max() <= largest
    weights = density / density.sum()
    np.testing.assert_allclose((points * weights[..., None]).sum((0, 1, 2)), MIDDLE, atol=0.05)
    whole = open_store(store).segment(open_store(store).segments[0]).column("whole")[0]
    radius_of_02 = 24.0 * np.sqrt(1 - np.sqrt(0.2 / 0.9))
    assert whole == pytest.approx(4 / 3 * np.pi * radius_of_02**3 / 1000, rel=0.05)
    assert verify(open_store(store), full=True) == []


def test_a_density_that_is_read_from_a_file_arrives_as_from_memory(store, tmp_path):
    image = on(GRIDS["oblique"])
    save_image(tmp_path / "bump.nii.gz", image.data, image.frame)
    first = add_density(store, image, None, PROVENANCE)
    second = add_density(store, load_image(tmp_path / "bump.nii.gz"), None, PROVENANCE)
    opened = open_store(store)
    assert (first, second, opened.version) == (0, 1, 3)
    # NIfTI keeps the affine as float32
    np.testing.assert_allclose(opened.density(1), opened.density(0), atol=1e-3)


def test_a_mask_of_whole_numbers_is_a_density_of_zeros_and_ones(store, small_atlas):
    mask = (on(small_atlas.frame).data > 0.3).astype(np.uint8)
    tumour = add_density(store, Image(mask, small_atlas.frame, Path("mask.nii")), None, PROVENANCE)
    np.testing.assert_array_equal(open_store(store).density(tumour), mask)


def test_without_parameters_the_tumour_is_added_and_nobody_knows_them(store, small_atlas):
    add_density(store, on(small_atlas.frame), None, PROVENANCE)
    opened = open_store(store)
    assert opened.known_parameters(0) is None
    with pytest.raises(UnknownParametersError):
        opened.parameters(0)


def test_an_added_tumour_follows_the_others_and_leaves_them_alone(tiny_store, tiny_atlas):
    before = contents_at(tiny_store)
    image = on(tiny_atlas.frame, radius=40.0)
    assert add_density(tiny_store, image, PARAMETERS, PROVENANCE) == 3
    with writing(tiny_store, "test") as writer:
        writer.delete([3])
    assert add_density(tiny_store, image, PARAMETERS, PROVENANCE) == 4
    after = contents_at(tiny_store)
    assert list(after) == [0, 1, 2, 4]
    assert {tumour: after[tumour] for tumour in before} == before


def refused(path, image, words):
    """Adding an image raises `InputError` with the words and its name, and leaves the store as it was; the message."""
    before = keys(path)
    with pytest.raises(InputError, match=words) as caught:
        add_density(path, image, PARAMETERS, PROVENANCE)
    assert str(image.path) in str(caught.value)
    assert keys(path) == before
    return str(caught.value)


@pytest.mark.parametrize("value", [-0.01, -1e-9, 1.001, 255.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("same_grid", [True, False])
def test_values_that_are_no_densities_are_refused_with_the_range(store, small_atlas, value, same_grid):
    image = on(small_atlas.frame if same_grid else GRIDS["oblique"])
    data = image.data.copy()
    data[7, 8, 9] = value
    refused(store, dataclasses.replace(image, data=data), r"holds values from .* to .*: a density lies in \[0, 1\]")


def test_rounding_errors_above_one_are_no_reason_to_refuse(store, small_atlas):
    for image in (on(small_atlas.frame), on(GRIDS["finer"])):
        data = image.data.copy()
        data[data > 0.8] = np.nextafter(np.float32(1), np.float32(2))
        tumour = add_density(store, dataclasses.replace(image, data=data), None, PROVENANCE)
        assert open_store(store).density(tumour).max() <= 1.0


@pytest.mark.parametrize("grid", ["own", "oblique"])
def test_an_empty_image_is_no_tumour(store, small_atlas, grid):
    frame = small_atlas.frame if grid == "own" else GRIDS[grid]
    refused(store, Image(np.zeros(frame.shape, np.float32), frame, Path("empty.nii")), "shows no tumour")


@pytest.mark.parametrize(("peak", "said"), [(0.19, "0.189"), (1e-5, "0.000")])
def test_a_density_that_stays_below_the_outline_is_no_tumour_and_its_peak_is_said(store, small_atlas, peak, said):
    refused(store, on(small_atlas.frame, peak=peak), f"stays below 0.2, up to {said}")


def test_a_density_of_exactly_the_outline_is_a_tumour(store, small_atlas):
    data = np.zeros(small_atlas.frame.shape, np.float32)
    data[5, 5, 5] = 0.2
    add_density(store, Image(data, small_atlas.frame, Path("one.nii")), None, PROVENANCE)
    assert np.argwhere(open_store(store).density(0)).tolist() == [[5, 5, 5]]


def test_a_density_in_another_space_is_refused_with_the_share_that_lies_outside(store, small_atlas):
    far = GRIDS["finer"]
    affine = far.affine.copy()
    affine[:3, 3] += 500
    image = on(far)
    refused(store, Image(image.data, Frame(far.shape, affine), Path("far.nii")), "100% of the tumour lies outside")


@pytest.mark.parametrize("outside", [0.3, 0.05, 0.02])
def test_a_density_that_sticks_out_of_the_frame_is_refused_with_the_share(store, small_atlas, outside):
    image = sticking_out(small_atlas.frame, outside)
    said = refused(store, image, "of the tumour lies outside the store's frame: is it in the space of")
    assert float(re.search(r"(\d+)% of", said)[1]) / 100 == pytest.approx(outside, abs=0.0151)


def test_a_density_of_which_next_to_nothing_sticks_out_is_taken(store, small_atlas):
    image = sticking_out(small_atlas.frame, LARGEST_LOSS / 3)
    assert add_density(store, image, None, PROVENANCE) == 0


def sticking_out(frame, share):
    """The ball on a grid of 1 mm, moved to the right until such a share of it is beyond the store's last voxels."""
    edge = frame.world(np.array(frame.shape) - 0.5)[0]
    image = on(GRIDS["finer"])
    right = image.frame.world(np.c_[np.arange(64), np.zeros((64, 2))])[:, 0]
    slices = image.data.sum((1, 2)) / image.data.sum()
    shift = next(shift for shift in np.arange(0, 200, 0.25) if slices[right + shift > edge].sum() >= share)
    affine = image.frame.affine.copy()
    affine[0, 3] += shift
    return dataclasses.replace(image, frame=Frame(image.frame.shape, affine))


@pytest.mark.parametrize("centre", [(1.0, -15.0, 7.0), (2.0, -14.0, 7.0), (0.0, -16.0, 8.0), (2.5, -14.5, 6.5)])
def test_a_small_tumour_with_a_sharp_edge_that_lies_inside_is_not_said_to_lie_outside(store, centre):
    grid = box((1.0, 1.0, 1.0))
    points = grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))
    for radius in np.arange(4.0, 9.0, 0.25):
        data = (np.linalg.norm(points - np.array(centre), axis=-1) < radius).astype(np.float32)
        add_density(store, Image(data, grid, Path("small.nii")), None, PROVENANCE)


def test_adding_needs_a_store_that_nobody_writes(tmp_path, store, small_atlas):
    with pytest.raises(NotAStoreError):
        add_density(tmp_path, on(small_atlas.frame), None, PROVENANCE)
    with writing(store, "gliodex build"), pytest.raises(StoreLockedError, match="gliodex build"):
        add_density(store, on(small_atlas.frame), None, PROVENANCE)


def test_exported_tumours_are_read_by_nibabel_with_the_values_and_the_grid_of_the_store(small_store, tmp_path):
    store, out = open_store(small_store), tmp_path / "deep" / "out"
    export(store, [4, 0], out)
    assert sorted(p.name for p in out.iterdir()) == ["tumour_0.nii.gz", "tumour_4.nii.gz", "tumours.json"]
    for tumour in (4, 0):
        image = nib.load(out / f"tumour_{tumour}.nii.gz")
        assert image.get_data_dtype() == np.float32
        np.testing.assert_array_equal(np.asarray(image.dataobj), store.density(tumour))
        np.testing.assert_allclose(image.affine, store.frame.affine, atol=1e-4)
        assert image.header.get_xyzt_units()[0] == "mm"
        assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
        assert f"tumour {tumour}" in bytes(image.header["descrip"]).decode()


def test_the_record_of_an_export_says_what_each_tumour_is(tiny_store, tiny_tumours, tmp_path):
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours(
            [dataclasses.replace(tiny_tumours[0], parameters=None, snapshot=2, least_jacobian=-0.1)], PROVENANCE
        )
    store = open_store(tiny_store)
    export(store, np.array([3, 1]), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "tumours.json").read_text())
    assert (record["store"], record["version"], record["atlas"]) == (str(tiny_store), 4, "tiny")
    assert record["thresholds"] == {"whole": 0.2, "core": 0.6}
    added, simulated = record["tumours"]
    assert added == {
        "id": 3,
        "file": "tumour_3.nii.gz",
        "provenance": PROVENANCE | {"draw": 0, "snapshot": 2},
        "folded": True,
        "parameters": None,
    }
    p = store.parameters(1)
    assert (simulated["id"], simulated["folded"]) == (1, False)
    assert simulated["provenance"] == {"method": "test", "draw": 1, "snapshot": 0}
    assert simulated["parameters"] == {
        "seed_mm": list(p.seed_mm),
        "diffusivity": p.diffusivity,
        "proliferation": p.proliferation,
        "duration": p.duration,
        "mass_effect": 0.0,
        "mu1_mm": np.sqrt(p.diffusivity * p.duration),
        "mu2": np.sqrt(p.proliferation * p.duration),
    }
    assert set(simulated["parameters"]) == set(record["units"]) >= set(UNITS)


def test_an_exported_tumour_that_is_added_again_is_the_same_tumour(small_store, tmp_path, small_atlas):
    first = open_store(small_store)
    export(first, first.ids, tmp_path / "out")
    with creating(tmp_path / "copy", small_atlas, {"model": "test"}, "test"):
        pass
    for about in json.loads((tmp_path / "out" / "tumours.json").read_text())["tumours"]:
        known = {name: about["parameters"][name] for name in UNITS}
        image = load_image(tmp_path / "out" / about["file"])
        add_density(tmp_path / "copy", image, GrowthParameters(**known), about["provenance"])
    copy = open_store(tmp_path / "copy")
    assert {n: facts[:2] for n, facts in contents(copy).items()} == {
        n: facts[:2] for n, facts in contents(first).items()
    }
    np.testing.assert_array_equal(
        np.concatenate([copy.segment(s).table[:, :15] for s in copy.segments]),
        np.concatenate([first.segment(s).table[:, :15] for s in first.segments]),
    )


def test_an_export_counts_what_is_done(tiny_store, tmp_path):
    calls = []
    export(open_store(tiny_store), [2, 0, 1], tmp_path, lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_an_export_of_no_tumour_writes_a_record_of_none(tiny_store, tmp_path):
    export(open_store(tiny_store), [], tmp_path / "out")
    assert json.loads((tmp_path / "out" / "tumours.json").read_text())["tumours"] == []


def test_an_old_version_is_exported_with_what_was_deleted_since(tiny_store, tmp_path):
    with writing(tiny_store, "test") as writer:
        writer.delete([1])
    with pytest.raises(UnknownTumourError, match="tumour 1"):
        export(open_store(tiny_store), [0, 1], tmp_path / "new")
    assert not (tmp_path / "new" / "tumours.json").exists()
    export(open_store(tiny_store, 3), [1], tmp_path / "old")
    assert json.loads((tmp_path / "old" / "tumours.json").read_text())["version"] == 3


@pytest.mark.parametrize("place", ["file", "file/below", "taken/tumours.json"])
def test_a_folder_that_cannot_be_written_to_is_refused_in_words(tiny_store, tmp_path, place):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "taken" / "tumours.json").mkdir(parents=True)
    out = tmp_path / place if "taken" not in place else tmp_path / "taken"
    with pytest.raises(OutputError, match="cannot write to") as caught:
        export(open_store(tiny_store), [0], out)
    assert str(out) in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"
