import gzip

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from gliodex.errors import InputError, OutputError
from gliodex.store import Frame
from gliodex.store.nifti import load_image, save_image

SHAPE = (5, 6, 7)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 3.0, -120], [0, -1.5, 0, 60], [0, 0, 0, 1]])


def labels(shape=SHAPE, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 5, shape).astype(dtype)


def oblique(angles=(10, -20, 35), spacing=(1.0, 2.0, 0.7), offset=(-12, 30.5, 7)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = offset
    return affine


def write(path, data, sform=1, qform=1, kind=nib.Nifti1Image):
    image = kind(data, AFFINE)
    image.set_sform(AFFINE, sform)
    image.set_qform(AFFINE, qform)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32])
def test_integer_labels_keep_values_and_dtype(tmp_path, name, dtype):
    data = labels(dtype=dtype)
    image = load_image(write(tmp_path / name, data))
    assert image.data.dtype == dtype
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_allclose(image.frame.affine, AFFINE)
    assert image.path == tmp_path / name


def test_a_path_may_be_text(tmp_path):
    assert load_image(str(write(tmp_path / "a.nii", labels()))).frame.shape == SHAPE


def test_scaled_integers_are_read_as_the_values_they_stand_for(tmp_path):
    image = nib.Nifti1Image(labels(dtype=np.int16), AFFINE)
    image.header.set_slope_inter(0.5, 10)
    image.set_sform(AFFINE, 1)
    image.set_qform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    raw = nib.load(tmp_path / "a.nii")
    np.testing.assert_allclose(load_image(tmp_path / "a.nii").data, raw.dataobj.get_unscaled() * 0.5 + 10)


def test_nifti_2_is_read(tmp_path):
    path = write(tmp_path / "a.nii.gz", labels(), kind=nib.Nifti2Image)
    np.testing.assert_array_equal(load_image(path).data, labels())


def test_big_endian_files_are_read(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    image = nib.Nifti1Image(labels(dtype=">i2"), AFFINE, header)
    image.set_sform(AFFINE, 1)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_array_equal(load_image(tmp_path / "a.nii").data, labels())


def test_a_trailing_axis_of_one_is_dropped(tmp_path):
    image = load_image(write(tmp_path / "a.nii.gz", labels((*SHAPE, 1))))
    assert image.data.shape == SHAPE
    assert image.frame.shape == SHAPE


def test_a_slab_of_one_voxel_stays_three_dimensional(tmp_path):
    assert load_image(write(tmp_path / "a.nii.gz", labels((5, 6, 1)))).data.shape == (5, 6, 1)


@pytest.mark.parametrize("shape", [(*SHAPE, 2), (*SHAPE, 1, 3), (5, 6)])
def test_what_is_not_one_volume_is_refused_with_its_shape(tmp_path, shape):
    with pytest.raises(InputError, match="3-D volume") as caught:
        load_image(write(tmp_path / "a.nii.gz", labels(shape)))
    assert str(tmp_path / "a.nii.gz") in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.nii\.gz: no such file"):
        load_image(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.txt", "a"])
@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"x" * 5000, gzip.compress(b"text " * 500, mtime=0)])
def test_what_is_not_nifti_is_refused_by_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.img", "a.hdr"])
@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_a_pair_is_read_by_either_of_its_names(tmp_path, name, kind):
    write(tmp_path / "a.img", labels(dtype=np.int16), kind=kind)
    image = load_image(tmp_path / name)
    np.testing.assert_array_equal(image.data, labels())
    np.testing.assert_allclose(image.frame.affine, AFFINE)
    assert image.path == tmp_path / name


def test_a_header_of_a_pair_without_its_values_is_refused(tmp_path):
    write(tmp_path / "a.img", labels(), kind=nib.Nifti1Pair)
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"a\.img is not beside it"):
        load_image(tmp_path / "a.hdr")


def test_a_pointer_in_the_place_of_values_is_called_so(tmp_path):
    write(tmp_path / "a.img", labels(), kind=nib.Nifti1Pair)
    (tmp_path / "a.img").write_text("version https://git-lfs.github.com/spec/v1\n")
    for name in ("a.img", "a.hdr"):
        with pytest.raises(InputError, match="Git LFS pointer"):
            load_image(tmp_path / name)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_compression_is_told_by_the_bytes_and_not_the_name(tmp_path, kind):
    content = write(tmp_path / "a.nii", labels(), kind=kind).read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(content)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(content))
    for name in ("plain.nii.gz", "packed.nii"):
        np.testing.assert_array_equal(load_image(tmp_path / name).data, labels())


def test_what_follows_the_values_is_left_alone_up_to_a_bound(tmp_path):
    content = write(tmp_path / "a.nii", labels()).read_bytes()
    (tmp_path / "long.nii.gz").write_bytes(gzip.compress(content + bytes(1 << 20)))
    np.testing.assert_array_equal(load_image(tmp_path / "long.nii.gz").data, labels())
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(content + bytes((1 << 26) + 1), 1))
    with pytest.raises(InputError, match="goes on for more than"):
        load_image(tmp_path / "bomb.nii.gz")


def test_a_wrong_checksum_is_refused(tmp_path):
    content = bytearray(write(tmp_path / "a.nii.gz", labels()).read_bytes())
    content[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match="damaged or cut short"):
        load_image(tmp_path / "a.nii.gz")


def headed(path, sform=0, **changed):
    """Write an image whose header has a qform of code 1, an sform code, and changed fields."""
    image = nib.Nifti1Image(labels(dtype=np.int16), AFFINE)
    image.set_sform(AFFINE, sform)
    image.set_qform(AFFINE, 1)
    header = image.header.copy()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.int16)
    header["vox_offset"] = 352
    for key, value in changed.items():
        header[key] = value
    path.write_bytes(header.binaryblock + bytes(4) + labels(dtype=np.int16).tobytes(order="F"))
    return path


def pixdim(*sizes):
    return [-1, *sizes, 1, 0, 0, 0]


def test_a_qform_without_the_size_of_a_voxel_is_refused(tmp_path):
    for sizes in ((0, 0, 0), (2, 0, 3), (np.nan, 1, 1)):
        with pytest.raises(InputError, match="does not say the size of its voxels"):
            load_image(headed(tmp_path / "a.nii", pixdim=pixdim(*sizes)))
    assert load_image(headed(tmp_path / "a.nii", sform=1, pixdim=pixdim(0, 0, 0))).frame.spacing == (2.0, 1.5, 3.0)


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_a_scaling_that_is_none_is_left_out(tmp_path, slope):
    image = load_image(headed(tmp_path / "a.nii", scl_slope=slope, scl_inter=7))
    np.testing.assert_array_equal(image.data, labels())
    assert image.data.dtype == np.int16


def test_a_slope_with_an_impossible_offset_is_refused_by_both(tmp_path):
    with pytest.raises(InputError, match=r"scl_slope 2\.0 but scl_inter nan.*set scl_inter"):
        load_image(headed(tmp_path / "a.nii", scl_slope=2, scl_inter=np.nan))


def test_nothing_that_nibabel_mends_reaches_the_terminal(tmp_path, capfd):
    path = headed(tmp_path / "a.nii", pixdim=pixdim(-2, -1.5, -3), bitpix=7, xyzt_units=3)
    np.testing.assert_array_equal(load_image(path).data, labels())
    assert capfd.readouterr() == ("", "")


def test_another_image_format_is_refused_by_name(tmp_path):
    nib.save(nib.MGHImage(labels(), AFFINE), tmp_path / "a.mgz")
    with pytest.raises(InputError, match="not NIfTI"):
        load_image(tmp_path / "a.mgz")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path, name):
    path = write(tmp_path / name, np.random.default_rng(1).random(SHAPE).astype(np.float32))
    content = path.read_bytes()
    for length in range(0, len(content) - 9, 29):
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            load_image(path)
        assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_wrong_byte_in_the_header_never_escapes_as_another_error(tmp_path, mask):
    path = write(tmp_path / "a.nii", labels())
    content = path.read_bytes()
    escaped = {}
    for position in range(352):
        broken = bytearray(content)
        broken[position] ^= mask
        path.write_bytes(bytes(broken))
        try:
            load_image(path)
        except InputError as error:
            if str(path) not in str(error):
                escaped[position] = f"does not name the file: {error}"
        except Exception as error:
            escaped[position] = repr(error)
    assert escaped == {}


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_promises_terabytes_is_refused_by_name(tmp_path, name):
    header = nib.load(write(tmp_path / "small.nii", labels())).header
    header["dim"][1:4] = 30000
    content = header.binaryblock + bytes(4) + labels().tobytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    with pytest.raises(InputError) as caught:
        load_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_refused(tmp_path, value):
    data = np.zeros(SHAPE, np.float32)
    data[1, 2, 3:5] = value
    with pytest.raises(InputError, match="holds 2 values"):
        load_image(write(tmp_path / "a.nii.gz", data))


@pytest.mark.parametrize(
    "dtype", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])], ids=["complex", "rgb"]
)
def test_values_that_are_no_scalars_are_refused(tmp_path, dtype):
    with pytest.raises(InputError, match="scalar image"):
        load_image(write(tmp_path / "a.nii.gz", np.zeros(SHAPE, dtype)))


def test_a_file_without_orientation_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing about its orientation"):
        load_image(write(tmp_path / "a.nii.gz", labels(), sform=0, qform=0))


def test_the_only_form_that_is_set_is_used(tmp_path):
    for sform, qform in ((0, 1), (1, 0)):
        image = load_image(write(tmp_path / f"{sform}.nii.gz", labels(), sform=sform, qform=qform))
        np.testing.assert_allclose(image.frame.affine, AFFINE, atol=1e-5)


def disagreeing(path, qform):
    image = nib.Nifti1Image(labels(), AFFINE)
    image.set_sform(AFFINE, 1)
    image.set_qform(qform, 1)
    nib.save(image, path)
    return path


def test_forms_that_disagree_are_refused(tmp_path):
    mirrored = AFFINE @ np.diag([-1.0, 1, 1, 1])
    shifted, turned = AFFINE.copy(), oblique((0, 0, 8)) @ AFFINE
    shifted[0, 3] += 1.0
    for qform in (mirrored, shifted, turned):
        with pytest.raises(InputError, match=r"sform and qform disagree by up to \d+\.\d mm"):
            load_image(disagreeing(tmp_path / "a.nii.gz", qform))


def test_forms_that_agree_to_less_than_half_a_voxel_are_taken(tmp_path):
    close = AFFINE.copy()
    close[0, 3] += 0.7
    image = load_image(disagreeing(tmp_path / "a.nii.gz", close))
    np.testing.assert_allclose(image.frame.affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_an_sform_that_cannot_be_inverted_is_refused(tmp_path, value):
    image = nib.Nifti1Image(labels(), AFFINE)
    image.header["sform_code"] = 1
    image.header["qform_code"] = 0
    for row in ("srow_x", "srow_y", "srow_z"):
        image.header[row] = value
    (tmp_path / "a.nii").write_bytes(image.header.binaryblock + bytes(4) + labels().tobytes(order="F"))
    with pytest.raises(InputError, match="sform that cannot be inverted"):
        load_image(tmp_path / "a.nii")


@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.tuples(*[st.floats(-150, 150)] * 3),
    st.sampled_from([np.uint8, np.int16, np.float32]),
)
@settings(max_examples=30, deadline=None)
def test_saved_images_load_equal_in_value_and_place(tmp_path_factory, angles, spacing, offset, dtype):
    path = tmp_path_factory.mktemp("saved") / "a.nii.gz"
    frame = Frame(SHAPE, oblique(angles, spacing, offset))
    data = labels(dtype=dtype) * dtype(3)
    save_image(path, data, frame)
    image = load_image(path)
    assert image.data.dtype == dtype
    np.testing.assert_array_equal(image.data, data)
    assert image.frame.same_as(frame)


def test_saved_images_carry_equal_forms_units_and_intent(tmp_path):
    frame = Frame(SHAPE, oblique())
    save_image(tmp_path / "a.nii.gz", labels(), frame, "cell density")
    header = nib.load(tmp_path / "a.nii.gz").header
    sform, sform_code = header.get_sform(coded=True)
    qform, qform_code = header.get_qform(coded=True)
    assert (sform_code, qform_code) == (1, 1)
    np.testing.assert_allclose(sform, frame.affine, atol=1e-5)
    np.testing.assert_allclose(qform, frame.affine, atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"
    assert header["descrip"].item() == b"cell density"


def test_an_intent_of_any_length_or_script_is_cut_to_fit(tmp_path):
    save_image(tmp_path / "a.nii.gz", labels(), Frame(SHAPE, AFFINE), "é" * 79)
    np.testing.assert_array_equal(load_image(tmp_path / "a.nii.gz").data, labels())


def test_a_left_handed_frame_survives_saving(tmp_path):
    frame = Frame(SHAPE, np.diag([-1.0, 1.0, 2.0, 1.0]))
    save_image(tmp_path / "a.nii.gz", labels(), frame)
    assert load_image(tmp_path / "a.nii.gz").frame.axis_codes == "LAS"


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_])
def test_arrays_of_other_common_dtypes_are_saved_with_their_values(tmp_path, dtype):
    data = labels().astype(dtype)
    save_image(tmp_path / "a.nii.gz", data, Frame(SHAPE, AFFINE))
    np.testing.assert_array_equal(load_image(tmp_path / "a.nii.gz").data, data)


@pytest.mark.parametrize("name", ["missing/a.nii.gz", "file/a.nii.gz", "folder.nii.gz", "a.unknown"])
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.nii.gz").mkdir()
    with pytest.raises(OutputError, match="cannot write") as caught:
        save_image(tmp_path / name, labels(), Frame(SHAPE, AFFINE))
    assert str(tmp_path / name) in str(caught.value)
