import numpy as np
import pytest
import zarr

from gliodex.errors import DamagedStoreError, InputError
from gliodex.store import Atlas, open_store
from gliodex.store.atlas import MAPS
from gliodex.store.atlas_files import read_atlas, write_atlas
from gliodex.store.local_files import LocalFiles

from .breaking import flip


@pytest.fixture
def written(tmp_path, tiny_atlas):
    files = LocalFiles(tmp_path / "store")
    return files, write_atlas(files, tiny_atlas)


def test_an_atlas_reads_back_equal(written, tiny_atlas):
    files, record = written
    atlas = read_atlas(files, record, tiny_atlas.frame)
    assert atlas.name == "tiny"
    assert atlas.digest == tiny_atlas.digest
    for name in MAPS:
        np.testing.assert_array_equal(getattr(atlas, name), getattr(tiny_atlas, name))


def test_zarr_opens_the_atlas_and_reads_the_same_maps(written, tiny_atlas):
    files, record = written
    group = zarr.open_group(files.path(record["folder"]), mode="r")
    for name in MAPS:
        np.testing.assert_array_equal(group[name][:], getattr(tiny_atlas, name))
        assert group[name].attrs["units"]
    assert group.attrs["frame"] == tiny_atlas.frame.as_record()


def test_what_a_killed_build_left_of_the_atlas_is_replaced(written, tiny_atlas):
    files, record = written
    flip(files.path(f"{record['folder']}/zarr.json"), 3)
    again = write_atlas(files, tiny_atlas)
    assert read_atlas(files, again, tiny_atlas.frame).digest == tiny_atlas.digest


def test_every_damaged_file_of_the_atlas_is_named(written, tiny_atlas):
    files, record = written
    for key in record["files"]:
        path = files.path(f"{record['folder']}/{key}")
        for position in range(0, path.stat().st_size, 5):
            flip(path, position)
            with pytest.raises(DamagedStoreError) as caught:
                read_atlas(files, record, tiny_atlas.frame)
            assert str(path) in str(caught.value)
            flip(path, position)
        content = path.read_bytes()
        path.write_bytes(content[:-1])
        with pytest.raises(DamagedStoreError, match="is not what was written"):
            read_atlas(files, record, tiny_atlas.frame)
        path.unlink()
        with pytest.raises(DamagedStoreError, match="is missing"):
            read_atlas(files, record, tiny_atlas.frame)
        path.write_bytes(content)
    assert read_atlas(files, record, tiny_atlas.frame).digest == tiny_atlas.digest


def test_maps_that_do_not_fit_the_digest_are_damaged(written, tiny_atlas):
    files, record = written
    with pytest.raises(DamagedStoreError, match="does not match the store's manifest"):
        read_atlas(files, record | {"digest": "0" * 64}, tiny_atlas.frame)


def test_the_store_keeps_its_own_atlas(tiny_store, tiny_atlas):
    assert open_store(tiny_store).atlas.digest == tiny_atlas.digest


def test_tissue_is_where_white_and_grey_outweigh_csf(small_atlas):
    expected = small_atlas.white + small_atlas.grey > small_atlas.csf
    np.testing.assert_array_equal(small_atlas.tissue, expected)
    assert 0 < expected.sum() < small_atlas.brain.sum()


def test_a_digest_depends_on_every_map_and_on_the_frame(tiny_atlas, make_atlas):
    digests = {tiny_atlas.digest, make_atlas((9, 10, 11), spacing=8.5).digest}
    for name in MAPS:
        maps = {n: getattr(tiny_atlas, n).copy() for n in MAPS}
        maps[name][0, 0, 0] = 0.25
        digests.add(Atlas("tiny", tiny_atlas.frame, **maps).digest)
    assert len(digests) == 2 + len(MAPS)


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf])
def test_a_tissue_map_that_is_no_fraction_is_refused_by_name(tiny_atlas, value):
    maps = {n: getattr(tiny_atlas, n).copy() for n in MAPS}
    maps["grey"][2, 2, 2] = value
    with pytest.raises(InputError, match="grey"):
        Atlas("bad", tiny_atlas.frame, **maps)


def test_a_map_of_another_shape_is_refused_by_name(tiny_atlas):
    maps = {n: getattr(tiny_atlas, n) for n in MAPS}
    with pytest.raises(InputError, match="csf"):
        Atlas("bad", tiny_atlas.frame, **maps | {"csf": np.zeros((2, 2, 2), np.float32)})


def test_an_atlas_without_tissue_is_refused(tiny_atlas):
    nothing = np.zeros(tiny_atlas.frame.shape, np.float32)
    with pytest.raises(InputError, match="no voxel"):
        Atlas("void", tiny_atlas.frame, nothing, nothing, nothing, nothing)


@pytest.mark.parametrize("name", ["grey", "csf", "t1"])
def test_a_map_of_zeros_alone_is_read(tmp_path, tiny_atlas, name):
    maps = {n: getattr(tiny_atlas, n) for n in MAPS} | {name: np.zeros(tiny_atlas.frame.shape, np.float32)}
    atlas = Atlas("without", tiny_atlas.frame, **maps)
    files = LocalFiles(tmp_path)
    assert read_atlas(files, write_atlas(files, atlas), atlas.frame).digest == atlas.digest
