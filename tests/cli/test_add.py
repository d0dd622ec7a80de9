"""`gliodex add`: what it does, what it says, and that refused it does nothing."""

import json

import nibabel as nib
import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, GrowthParameters
from gliodex.store import open_store, quantise

from ..retrieval.anatomy import LPS_AXES, around, flip_byte, points_of, sampled, write_nifti
from .conftest import without_lock

SEED = (-10.0, -17.0, 9.0)
PARAMETERS = ("--origin", "-10,-17,9", "--diffusivity", "0.1", "--proliferation", "0.05", "--duration", "200")
GROWN = GrowthParameters(SEED, 0.1, 0.05, 200.0)


def indexed_segments(store):
    directory = json.loads((store / "derived" / "dice" / "directory.json").read_text())
    return set(directory["directory"]["segments"])


def with_mistakes(density, change, path):
    """The density, changed and written elsewhere."""
    image = nib.load(density)
    return write_nifti(path, *change(image.get_fdata(dtype=np.float32), image.affine.copy()))


def moved(millimetres):
    def change(density, affine):
        affine[0, 3] += millimetres
        return density, affine

    return change


MISTAKES = {
    "negative": (lambda u, a: (u - 0.1, a), "[0, 1]"),
    "percent": (lambda u, a: (100 * u, a), "[0, 1]"),
    "labels": (lambda u, a: ((u > 0.5).astype(np.uint8) * 4, a), "[0, 1]"),
    "not a number": (lambda u, a: (np.where(u == u.max(), np.nan, u), a), "NaN"),
    "empty": (lambda u, a: (0 * u, a), "no tumour"),
    "faint": (lambda u, a: (0.19 * u, a), "no tumour"),
    "elsewhere": (moved(150), "outside the store's frame"),
    "partly outside": (moved(75), "outside the store's frame"),
    "four-dimensional": (lambda u, a: (np.stack([u, u], -1), a), "3-D"),
}


class TestAdd:
    def test_a_density_alone(self, gliodex, indexed_store, density):
        ran = gliodex("add", indexed_store, "--source", "another lab", "--density", density)
        assert (ran.code, ran.err.strip()) == (0, "")
        assert "added tumour 5; it now holds 6, version 4" in ran.joined
        store = open_store(indexed_store)
        assert store.ids.tolist() == list(range(6))
        np.testing.assert_array_equal(store.integers(5), quantise(nib.load(density).get_fdata(dtype=np.float32)))
        assert store.known_parameters(5) is None
        told = store.provenance(5)
        assert told == {"kind": "added", "source": "another lab", "draw": -1, "snapshot": 0}
        assert gliodex("verify", indexed_store, "--full").code == 0

    def test_it_can_be_searched_at_once(self, gliodex, indexed_store, density):
        gliodex("add", indexed_store, "--source", "s", "--density", density)
        assert indexed_segments(indexed_store) == {s.name for s in open_store(indexed_store).segments}

    def test_where_there_is_no_index_one_is_made(self, gliodex, small_store, density):
        assert gliodex("add", small_store, "--source", "s", "--density", density).code == 0
        assert len(indexed_segments(small_store)) == 3

    def test_older_versions_do_not_hold_it(self, gliodex, indexed_store, density):
        gliodex("add", indexed_store, "--source", "s", "--density", density)
        assert [len(open_store(indexed_store, version)) for version in (1, 2, 3, 4)] == [0, 3, 5, 6]

    def test_a_density_with_its_parameters(self, gliodex, indexed_store, density):
        ran = gliodex("add", indexed_store, "--source", "s", "--density", density, *PARAMETERS)
        assert (ran.code, ran.err.strip()) == (0, "")
        store = open_store(indexed_store)
        assert store.parameters(5) == GROWN
        assert store.provenance(5)["kind"] == "added"
        np.testing.assert_array_equal(store.integers(5), quantise(nib.load(density).get_fdata(dtype=np.float32)))

    def test_a_density_on_another_grid(self, gliodex, indexed_store, small_atlas, ball, tmp_path):
        frame = small_atlas.frame
        grid = around((3, -17, 9), LPS_AXES, (2.0, 3.0, 2.5), (80, 80, 80))
        drawn = ball(grid, (3, -17, 9), 22.0)
        path = write_nifti(tmp_path / "fine.nii.gz", drawn, grid.affine)
        assert gliodex("add", indexed_store, "--source", "s", "--density", path).code == 0
        added = open_store(indexed_store).density(5)
        linear = sampled(drawn, grid.affine, points_of(frame.shape, frame.affine))
        assert np.abs(added - linear).max() < 1.01 / 4095
        assert np.abs(added - ball(frame, (3, -17, 9), 22.0)).mean() < 0.001

    def test_parameters_are_simulated_with_the_stores_model(self, gliodex, snapshots_store, small_atlas):
        ran = gliodex("add", snapshots_store, "--source", "a talk", *PARAMETERS)
        assert (ran.code, ran.err.strip()) == (0, "")
        assert "added tumour 12; it now holds 13, version 3" in ran.joined
        store = open_store(snapshots_store)
        assert store.parameters(12) == GROWN
        np.testing.assert_array_equal(store.integers(12), quantise(FisherKolmogorov(small_atlas)(GROWN)))
        told = store.provenance(12)
        assert told == {"kind": "simulated on request", "source": "a talk", "draw": -1, "snapshot": 0}
        assert indexed_segments(snapshots_store) == {s.name for s in store.segments}
        assert gliodex("verify", snapshots_store, "--full").code == 0

    @pytest.mark.parametrize("seed", ["-10,-17,9", " -10 , -17.0,9e0", "-1e1,-17,+9"])
    def test_seeds_may_be_negative_and_spaced(self, gliodex, snapshots_store, seed):
        assert gliodex("add", snapshots_store, "--source", "s", "--origin", seed, *PARAMETERS[2:]).code == 0
        assert open_store(snapshots_store).parameters(12) == GROWN

    def test_the_same_tumour_twice_is_two_tumours(self, gliodex, snapshots_store):
        for _ in range(2):
            assert gliodex("add", snapshots_store, "--source", "s", *PARAMETERS).code == 0
        store = open_store(snapshots_store)
        np.testing.assert_array_equal(store.integers(12), store.integers(13))

    def test_neither_density_nor_parameters_are_refused(self, gliodex, indexed_store, refused):
        before = without_lock(indexed_store)
        refused(gliodex("add", indexed_store, "--source", "s"), indexed_store, before, "--density", "--origin")

    @pytest.mark.parametrize("with_density", [False, True], ids=["alone", "with density"])
    @pytest.mark.parametrize("missing", [0, 2, 4, 6])
    def test_a_part_of_the_parameters_is_refused(
        self, gliodex, snapshots_store, density, refused, missing, with_density
    ):
        before = without_lock(snapshots_store)
        given = PARAMETERS[:missing] + PARAMETERS[missing + 2 :]
        given += ("--density", density) if with_density else ()
        refused(gliodex("add", snapshots_store, "--source", "s", *given), snapshots_store, before, PARAMETERS[missing])

    def test_one_parameter_alone_is_refused(self, gliodex, snapshots_store, refused):
        before = without_lock(snapshots_store)
        ran = gliodex("add", snapshots_store, "--source", "s", "--duration", "100")
        refused(ran, snapshots_store, before, "--origin", "--diffusivity", "--proliferation")

    @pytest.mark.parametrize("seed", ["", "1,2", "1,2,3,4", "1 2 3", "here", "1,2,z", "1;2;3", ",,"])
    def test_a_seed_that_is_not_three_numbers_is_refused(self, gliodex, snapshots_store, refused, seed):
        before = without_lock(snapshots_store)
        ran = gliodex("add", snapshots_store, "--source", "s", "--origin", seed, *PARAMETERS[2:])
        refused(ran, snapshots_store, before, "--origin", f"`{seed}`", "30,-20,20")

    @pytest.mark.parametrize("seed", ["nan,0,0", "inf,0,0", "500,0,0", "75,50,70"])
    def test_a_seed_that_is_nowhere_in_the_brain_is_refused(self, gliodex, snapshots_store, refused, seed):
        before = without_lock(snapshots_store)
        ran = gliodex("add", snapshots_store, "--source", "s", "--origin", seed, *PARAMETERS[2:])
        refused(ran, snapshots_store, before, "seed")

    @pytest.mark.parametrize("value", ["-1", "nan", "inf"])
    @pytest.mark.parametrize("name", ["diffusivity", "proliferation", "duration"])
    def test_a_parameter_that_cannot_be_is_refused(self, gliodex, snapshots_store, refused, name, value):
        before = without_lock(snapshots_store)
        ran = gliodex("add", snapshots_store, "--source", "s", *PARAMETERS, f"--{name}", value)
        refused(ran, snapshots_store, before, name, value)

    def test_parameters_that_are_no_numbers_are_refused(self, gliodex, snapshots_store, refused):
        before = without_lock(snapshots_store)
        ran = gliodex("add", snapshots_store, "--source", "s", *PARAMETERS, "--duration", "long")
        refused(ran, snapshots_store, before, "--duration")

    def test_a_source_must_be_said(self, gliodex, indexed_store, density, refused):
        before = without_lock(indexed_store)
        refused(gliodex("add", indexed_store, "--density", density), indexed_store, before, "--source")

    def test_parameters_for_a_store_of_another_model_are_refused(self, gliodex, indexed_store, refused):
        before = without_lock(indexed_store)
        ran = gliodex("add", indexed_store, "--source", "s", *PARAMETERS)
        refused(ran, indexed_store, before, indexed_store, "growth model test", "density")

    @pytest.mark.parametrize("kind", ["nothing", "folder", "text"])
    def test_a_file_that_cannot_be_read_is_refused(self, gliodex, indexed_store, refused, tmp_path, kind):
        bad = tmp_path / "bad.nii.gz"
        if kind == "folder":
            bad.mkdir()
        elif kind == "text":
            bad.write_text("no image")
        before = without_lock(indexed_store)
        refused(gliodex("add", indexed_store, "--source", "s", "--density", bad), indexed_store, before, bad)

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_what_is_no_density_in_the_brain_is_refused(
        self, gliodex, indexed_store, density, refused, tmp_path, mistake
    ):
        change, named = MISTAKES[mistake]
        bad = with_mistakes(density, change, tmp_path / "bad.nii.gz")
        before = without_lock(indexed_store)
        refused(gliodex("add", indexed_store, "--source", "s", "--density", bad), indexed_store, before, bad, named)

    def test_a_density_is_not_read_where_the_parameters_are_wrong(self, gliodex, indexed_store, refused, density):
        before = without_lock(indexed_store)
        ran = gliodex("add", indexed_store, "--source", "s", "--density", density, *PARAMETERS, "--duration", "-5")
        refused(ran, indexed_store, before, "duration")

    def test_nothing_is_added_where_the_index_is_damaged(self, gliodex, indexed_store, refused, density):
        flip_byte(indexed_store / "derived" / "dice" / "directory.json", 60)
        before = without_lock(indexed_store)
        ran = gliodex("add", indexed_store, "--source", "s", "--density", density)
        refused(ran, indexed_store, before, "--rebuild")
