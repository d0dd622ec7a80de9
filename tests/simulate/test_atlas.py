import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from gliodex.errors import InputError
from gliodex.simulate import DEFAULT_ATLAS, load_atlas
from gliodex.store.frame import Frame

MAPS = {"wm": "white", "gm": "grey", "csf": "csf", "t1": "t1"}


def write(path, data, affine, codes="RAS"):
    image = nib.Nifti1Image(np.asarray(data), affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    if codes != "RAS":
        turn = nib.orientations.ornt_transform(
            nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
        )
        image = image.as_reoriented(turn)
        assert "".join(nib.aff2axcodes(image.affine)) == codes
    nib.save(image, path)


def write_maps(folder, atlas, codes="RAS", **changed):
    folder.mkdir(exist_ok=True)
    for name, attribute in MAPS.items():
        data = changed.get(name, getattr(atlas, attribute))
        write(folder / f"{name}.nii.gz", data, np.array(atlas.frame.affine), codes)
    return folder


def labels_of(atlas):
    labels = np.zeros(atlas.frame.shape, np.uint8)
    for value, name in ((1, "csf"), (2, "grey"), (3, "white")):
        labels[getattr(atlas, name) > 0.5] = value
    return labels


@pytest.fixture(scope="module")
def source(ellipsoid_atlas):
    """Smooth fractions, off the middle of the world and different on the left and the right."""
    frame = Frame(ellipsoid_atlas.frame.shape, ellipsoid_atlas.frame.affine + np.outer([5, -18, 9, 0], [0, 0, 0, 1]))
    lopsided = np.array(ellipsoid_atlas.white)
    lopsided[20:24, 14:20, 8:12] = 0
    grey = np.maximum(ellipsoid_atlas.grey, ellipsoid_atlas.white - lopsided)
    maps = [np.clip(ndimage.gaussian_filter(m, 0.7), 0, 1) for m in (lopsided, grey, ellipsoid_atlas.csf)]
    return type(ellipsoid_atlas)("source", frame, *maps, ellipsoid_atlas.t1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, source):
    return write_maps(tmp_path_factory.mktemp("atlases") / "lab7", source)


@pytest.fixture(scope="module")
def loaded(folder):
    return load_atlas(folder)


def fractions(atlas):
    return {name: getattr(atlas, name) for name in ("white", "grey", "csf")}


class TestIcbm152:
    def test_frame_is_128_cubed_of_2_mm_with_the_brain_in_the_middle(self, icbm152):
        assert icbm152.name == DEFAULT_ATLAS == "icbm152"
        assert icbm152.frame.shape == (128, 128, 128)
        assert icbm152.frame.spacing == pytest.approx((2, 2, 2))
        assert icbm152.frame.axis_codes == "RAS"
        inside = icbm152.frame.world(np.argwhere(icbm152.brain))
        middle = (inside.min(0) + inside.max(0)) / 2
        np.testing.assert_allclose(middle, icbm152.frame.world([63.5] * 3), atol=2.0)

    def test_sizes_are_those_of_a_brain(self, icbm152):
        voxel = icbm152.frame.voxel_ml
        assert 1600 < icbm152.tissue.sum() * voxel < 1900
        assert 1700 < icbm152.brain.sum() * voxel < 2000
        assert 550 < icbm152.white.sum(dtype=np.float64) * voxel < 800
        extent = np.ptp(icbm152.frame.world(np.argwhere(icbm152.tissue)), axis=0)
        np.testing.assert_allclose(extent, [142, 180, 152], atol=8)

    def test_tissue_is_one_piece_but_for_crumbs(self, icbm152):
        pieces, _ = ndimage.label(icbm152.tissue)
        assert np.bincount(pieces.ravel())[1:].max() > 0.99 * icbm152.tissue.sum()

    def test_fractions_lie_in_range_and_fill_the_brain(self, icbm152):
        for values in fractions(icbm152).values():
            assert values.dtype == np.float32
            assert values.min() >= 0
            assert values.max() <= 1
        total = icbm152.white + icbm152.grey + icbm152.csf
        inner = ndimage.binary_erosion(icbm152.brain, iterations=2)
        assert (np.abs(total[inner] - 1) > 0.02).mean() < 1e-3
        assert np.abs(total[inner] - 1).max() < 0.1

    def test_t1_is_brain_only_and_scaled(self, icbm152):
        near_brain = ndimage.binary_dilation(icbm152.brain, iterations=2)
        assert not icbm152.t1[~near_brain].any()
        assert np.quantile(icbm152.t1[icbm152.t1 > 0], 0.99) == pytest.approx(1, abs=0.05)
        assert icbm152.t1[icbm152.white > 0.95].mean() > 1.2 * icbm152.t1[icbm152.grey > 0.95].mean()

    def test_left_and_right_are_alike(self, icbm152):
        points = icbm152.frame.world(np.argwhere(icbm152.brain))
        places = icbm152.frame.voxel(points * [-1, 1, 1]).T
        for values in fractions(icbm152).values():
            mirrored = ndimage.map_coordinates(values, places, order=1)
            assert np.abs(mirrored - values[icbm152.brain]).mean() < 0.01
        assert abs((points[:, 0] > 0).mean() - 0.5) < 0.01

    @pytest.mark.parametrize(
        ("tissue", "point"),
        [
            ("csf", (-21, -38, 18)),
            ("csf", (21, -38, 18)),
            ("white", (-25, -10, 30)),
            ("white", (27, 10, 25)),
            ("white", (35, -20, 60)),
        ],
    )
    def test_known_places_hold_their_tissue(self, icbm152, tissue, point):
        voxel = tuple(np.round(icbm152.frame.voxel(point)).astype(int))
        assert getattr(icbm152, tissue)[voxel] > 0.9
        assert icbm152.tissue[voxel] == (tissue != "csf")

    @pytest.mark.parametrize("point", [(0, 0, 95), (85, 0, 0), (0, 90, 0), (0, -122, 0)])
    def test_outside_the_head_is_nothing(self, icbm152, point):
        voxel = tuple(np.round(icbm152.frame.voxel(point)).astype(int))
        assert all(values[voxel] == 0 for values in fractions(icbm152).values())


class TestFolder:
    def test_values_are_those_of_the_maps_at_the_same_places(self, source, loaded):
        assert loaded.name == "lab7"
        assert loaded.frame.shape == (128, 128, 128)
        assert loaded.frame.spacing == (2, 2, 2)
        points = source.frame.world(np.random.default_rng(0).uniform(4, 27, (400, 3)).round())
        at_source = tuple(np.round(source.frame.voxel(points)).astype(int).T)
        places = loaded.frame.voxel(points).T
        for name, values in fractions(loaded).items():
            found = ndimage.map_coordinates(values, places, order=1)
            np.testing.assert_allclose(found, getattr(source, name)[at_source], atol=0.15)
            assert values.sum(dtype=np.float64) * loaded.frame.voxel_ml == pytest.approx(
                getattr(source, name).sum(dtype=np.float64) * source.frame.voxel_ml, rel=0.01
            )

    def test_brain_is_in_the_middle(self, loaded):
        inside = loaded.frame.world(np.argwhere(loaded.brain))
        np.testing.assert_allclose((inside.min(0) + inside.max(0)) / 2, loaded.frame.world([63.5] * 3), atol=2)

    @pytest.mark.parametrize("codes", ["LPS", "PIR"])
    def test_another_voxel_order_is_the_same_atlas(self, tmp_path, source, loaded, codes):
        turned = load_atlas(write_maps(tmp_path / codes, source, codes))
        assert turned.frame.same_as(loaded.frame)
        for name in MAPS.values():
            np.testing.assert_allclose(getattr(turned, name), getattr(loaded, name), atol=1e-5)
        assert np.abs(loaded.white - loaded.white[::-1]).max() > 0.3

    def test_uncompressed_files_are_found(self, tmp_path, source, loaded):
        for name, attribute in MAPS.items():
            write(tmp_path / f"{name}.nii", getattr(source, attribute), np.array(source.frame.affine))
        assert load_atlas(tmp_path).frame.same_as(loaded.frame)
        np.testing.assert_array_equal(load_atlas(str(tmp_path)).white, loaded.white)

    def test_finer_maps_are_averaged_over_each_voxel(self, tmp_path):
        """Sheets of 1 mm, white and grey by turns: plain sampling would see only one of the two."""
        inside = np.zeros((40, 40, 40), np.float32)
        inside[4:-4, 4:-4, 4:-4] = 1
        sheets = (np.arange(40) % 2)[:, None, None]
        affine = np.diag([1.0, 1, 1, 1])
        affine[:3, 3] = [-7, 4, -20]
        maps = {"wm": inside * sheets, "gm": inside * (1 - sheets), "csf": 0 * inside, "t1": inside}
        for name, data in maps.items():
            write(tmp_path / f"{name}.nii.gz", data.astype(np.float32), affine)
        atlas = load_atlas(tmp_path)
        deep = ndimage.binary_erosion(atlas.brain, iterations=2)
        assert deep.sum() > 1000
        np.testing.assert_allclose(atlas.white[deep], 0.5, atol=1e-5)
        np.testing.assert_allclose(atlas.grey[deep], 0.5, atol=1e-5)
        assert atlas.white.sum() * atlas.frame.voxel_ml == pytest.approx(16 * 32 * 32 / 1000, rel=0.02)

    @pytest.mark.parametrize("missing", sorted(MAPS))
    def test_a_missing_map_is_named(self, tmp_path, source, missing):
        folder = write_maps(tmp_path / "atlas", source)
        (folder / f"{missing}.nii.gz").unlink()
        with pytest.raises(InputError, match=rf"no {missing} image there"):
            load_atlas(folder)

    def test_maps_on_different_grids_are_refused(self, tmp_path, source):
        folder = write_maps(tmp_path / "atlas", source)
        shifted = np.array(source.frame.affine)
        shifted[0, 3] += 2
        write(folder / "gm.nii.gz", source.grey, shifted)
        with pytest.raises(InputError, match=r"gm\.nii\.gz is not on the grid of .*wm\.nii\.gz"):
            load_atlas(folder)

    def test_a_brain_larger_than_the_frame_is_refused(self, tmp_path, source):
        affine = np.diag([10.0, 10, 10, 1])
        for name, attribute in MAPS.items():
            write(tmp_path / f"{name}.nii.gz", getattr(source, attribute), affine)
        with pytest.raises(InputError, match=r"its brain is \d+ mm long, the frame 256 mm"):
            load_atlas(tmp_path)

    def test_empty_maps_are_refused(self, tmp_path, source):
        nothing = {name: np.zeros(source.frame.shape, np.float32) for name in MAPS}
        with pytest.raises(InputError, match="has no brain"):
            load_atlas(write_maps(tmp_path / "atlas", source, **nothing))

    @pytest.mark.parametrize("scale", [100, 255])
    def test_maps_that_are_no_fractions_are_refused(self, tmp_path, source, scale):
        """Percent or bytes would become hard masks if they were clipped to [0, 1]."""
        scaled = {
            name: (scale * getattr(source, MAPS[name])).astype(np.uint8).astype(np.float32)
            for name in ("wm", "gm", "csf")
        }
        with pytest.raises(InputError, match=r"\[0, 1\]"):
            load_atlas(write_maps(tmp_path / "atlas", source, **scaled))

    def test_t1_of_a_whole_head_is_cut_to_the_brain(self, tmp_path, source):
        head = np.array(source.t1)
        head[:, :, -2:] = 0.8
        atlas = load_atlas(write_maps(tmp_path / "atlas", source, t1=head))
        interpolated = 1 + round(max(source.frame.spacing) / atlas.frame.spacing[0])
        near_brain = ndimage.binary_dilation(atlas.brain, np.ones((3, 3, 3)), iterations=interpolated)
        assert atlas.t1[atlas.brain].mean() > 0.3
        assert not atlas.t1[~near_brain].any()


class TestLabels:
    def test_a_label_file_gives_whole_voxels_of_each_tissue(self, tmp_path, ellipsoid_atlas):
        path = tmp_path / "mine.seg.nii.gz"
        write(path, labels_of(ellipsoid_atlas), np.array(ellipsoid_atlas.frame.affine))
        atlas = load_atlas(path)
        assert atlas.name == "mine"
        for name, values in fractions(atlas).items():
            expected = getattr(ellipsoid_atlas, name)
            assert values.sum(dtype=np.float64) * atlas.frame.voxel_ml == pytest.approx(
                expected.sum(dtype=np.float64) * ellipsoid_atlas.frame.voxel_ml, rel=0.02
            )
        white, grey, csf = (atlas.t1[getattr(atlas, name) > 0.99].mean() for name in ("white", "grey", "csf"))
        assert white > grey > csf > 0

    def test_a_folder_may_hold_labels_and_a_t1_of_another_grid(self, tmp_path, ellipsoid_atlas, source):
        write(tmp_path / "tissues.nii.gz", labels_of(ellipsoid_atlas), np.array(ellipsoid_atlas.frame.affine))
        finer = ellipsoid_atlas.frame.refined(2)
        ramp = finer.world(np.moveaxis(np.indices(finer.shape), 0, -1))[..., 0].astype(np.float32) + 200
        write(tmp_path / "t1.nii.gz", ramp, np.array(finer.affine))
        atlas = load_atlas(tmp_path)
        assert atlas.name == tmp_path.name
        inside = np.argwhere(ndimage.binary_erosion(atlas.brain, iterations=4))
        x = atlas.frame.world(inside)[:, 0] + 200
        ratio = atlas.t1[tuple(inside.T)] / x
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)

    @pytest.mark.parametrize("codes", ["LPS"])
    def test_another_voxel_order_is_the_same_atlas(self, tmp_path, source, codes):
        plain, turned = tmp_path / "plain.nii.gz", tmp_path / "turned.nii.gz"
        write(plain, labels_of(source), np.array(source.frame.affine))
        write(turned, labels_of(source), np.array(source.frame.affine), codes)
        a, b = load_atlas(plain), load_atlas(turned)
        for name in MAPS.values():
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-5)

    @pytest.mark.parametrize(
        "change",
        [
            lambda labels: np.where(labels == 1, 4, labels),
            lambda labels: np.where(labels == 3, 2, labels),
            lambda labels: np.where(labels == 2, 3, labels),
            lambda labels: labels.astype(np.float32) + np.float32(0.5),
            lambda labels: labels.astype(np.int16) - 1,
        ],
        ids=["unknown", "no white", "no grey", "not whole", "negative"],
    )
    def test_wrong_labels_are_refused(self, tmp_path, ellipsoid_atlas, change):
        path = tmp_path / "tissues.nii.gz"
        write(path, change(labels_of(ellipsoid_atlas)), np.array(ellipsoid_atlas.frame.affine))
        for given in (path, tmp_path):
            with pytest.raises(InputError, match="a tissue file has 0 outside, 1 CSF, 2 grey, 3 white"):
                load_atlas(given)


def test_nothing_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such atlas"):
        load_atlas(tmp_path / "sri24")
    with pytest.raises(InputError, match="no wm, gm, csf, t1 image there"):
        load_atlas(tmp_path)
    text = tmp_path / "labels.txt"
    text.write_text("no image")
    with pytest.raises(InputError, match="NIfTI"):
        load_atlas(text)
