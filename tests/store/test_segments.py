import dataclasses

import numpy as np
import pytest
import zarr

from gliodex.errors import DamagedStoreError
from gliodex.store import EncodedTumour, GrowthParameters, open_store, verify, writing
from gliodex.store.local_files import LocalFiles
from gliodex.store.quantization import LEVELS, quantise
from gliodex.store.segments import COLUMNS, Segment, write_segment

from .breaking import flip


@pytest.fixture
def written(tmp_path, tiny_atlas, ball, make_tumour):
    frame = tiny_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    densities = [ball(frame, middle, 20 + 5 * n) for n in range(3)]
    densities.append(np.zeros(frame.shape, np.float32))
    tumours = [make_tumour(frame, u, draw=10 + n) for n, u in enumerate(densities)]
    tumours[1] = dataclasses.replace(tumours[1], snapshot=3)
    files = LocalFiles(tmp_path / "store")
    record = write_segment(files, tumours, frame, 5, {"method": "test", "seed": 3})
    return files, record, frame, tumours, densities


def test_folded_tumours_are_named_and_columns_that_are_missing_hold_what_was(written, make_tumour):
    files, record, frame, tumours, _ = written
    assert record.folded == ()
    pushing = [
        dataclasses.replace(
            tumour,
            parameters=dataclasses.replace(tumour.parameters, mass_effect=1000.0 * n),
            least_jacobian=(0.4, 0.0, 1.0, -0.1)[n],
        )
        for n, tumour in enumerate(tumours)
    ]
    again = write_segment(files, pushing, frame, 9, {"method": "test"})
    assert again.folded == (1, 3)
    segment = Segment(files, again, frame)
    assert [segment.parameters(row) for row in range(4)] == [tumour.parameters for tumour in pushing]
    assert segment.column("least_jacobian").tolist() == [0.4, 0.0, 1.0, -0.1]
    assert [segment.encoded(row) for row in range(4)] == pushing
    older = Segment(files, record, frame)
    older.__dict__["table"] = older.table[:, :17]
    assert older.column("mass_effect").tolist() == [0.0] * 4
    assert older.column("least_jacobian").tolist() == [1.0] * 4
    assert older.parameters(0) == tumours[0].parameters


def folder_of(files, record):
    return files.path(f"segments/{record.name}")


def test_zarr_opens_a_segment_and_reads_the_same_integers(written):
    files, record, frame, _, densities = written
    group = zarr.open_group(folder_of(files, record), mode="r")
    density = group["density"]
    assert density.dtype == np.uint16
    assert density.shape == (4, *frame.shape)
    assert density.chunks == (1, *frame.shape)
    np.testing.assert_array_equal(density[:], np.stack([quantise(u) for u in densities]))
    np.testing.assert_array_equal(density[2], quantise(densities[2]))


def test_scale_factor_turns_what_zarr_reads_into_densities(written):
    files, record, _, _, densities = written
    density = zarr.open_group(folder_of(files, record), mode="r")["density"]
    assert density.attrs["units"] == "1"
    np.testing.assert_allclose(density[1] * density.attrs["scale_factor"], densities[1], atol=1 / LEVELS)


def test_zarr_reads_a_table_whose_columns_are_named_with_units(written):
    files, record, frame, tumours, _ = written
    group = zarr.open_group(folder_of(files, record), mode="r")
    table = group["table"]
    assert table.attrs["columns"] == list(COLUMNS)
    assert table.attrs["units"] == list(COLUMNS.values())
    assert dict(zip(table.attrs["columns"], table.attrs["units"], strict=True))["diffusivity"] == "mm^2/day"
    for row, tumour in zip(table[:], tumours, strict=True):
        values = dict(zip(COLUMNS, row, strict=True))
        p = tumour.parameters
        assert [values[f"seed_{axis}"] for axis in "xyz"] == list(p.seed_mm)
        assert [values[n] for n in ("diffusivity", "proliferation", "duration")] == [
            p.diffusivity,
            p.proliferation,
            p.duration,
        ]
        assert (values["whole"], values["core"], values["peak"]) == (
            tumour.whole_ml,
            tumour.core_ml,
            tumour.peak,
        )
        low = [values[f"box_low_{axis}"] for axis in "xyz"]
        high = [values[f"box_high_{axis}"] for axis in "xyz"]
        assert tuple(low + high) == tumour.box
        assert (values["draw"], values["snapshot"]) == (tumour.draw, tumour.snapshot)
    assert group.attrs["frame"] == frame.as_record()
    assert group.attrs["provenance"] == {"method": "test", "seed": 3}


def test_a_segment_reads_back_densities_and_parameters(written):
    files, record, frame, tumours, densities = written
    segment = Segment(files, record, frame)
    for row, (tumour, density) in enumerate(zip(tumours, densities, strict=True)):
        np.testing.assert_array_equal(segment.integers(row), quantise(density))
        assert segment.parameters(row) == tumour.parameters


def test_the_record_counts_every_byte_and_every_id(written):
    files, record, _, _, _ = written
    on_disk = {p for p in folder_of(files, record).rglob("*") if p.is_file()}
    assert on_disk == {folder_of(files, record) / key for key in record.files}
    assert record.bytes == sum(p.stat().st_size for p in on_disk)
    assert list(record.ids) == [5, 6, 7, 8]


def test_a_segment_of_one_tumour_is_read_by_zarr(tmp_path, tiny_atlas, make_tumour):
    files = LocalFiles(tmp_path)
    tumour = make_tumour(tiny_atlas.frame)
    record = write_segment(files, [tumour], tiny_atlas.frame, 0, {})
    density = zarr.open_group(folder_of(files, record), mode="r")["density"][0]
    np.testing.assert_array_equal(Segment(files, record, tiny_atlas.frame).integers(0), density)


def test_every_flipped_byte_of_a_shard_is_blamed_on_the_tumours_it_belongs_to(tiny_store):
    store = open_store(tiny_store)
    record = store.segments[0]
    shard = tiny_store / "segments" / record.name / "density/c/0/0/0/0"
    sound = [store.density(n) for n in range(3)]
    sizes = [int(size) for _, size in Segment(store._files, record, store.frame)._chunk_index]
    for position in range(shard.stat().st_size):
        flip(shard, position)
        broken = open_store(tiny_store)
        if position < sum(sizes):
            guilty = {int(np.searchsorted(np.cumsum(sizes), position, side="right"))}
            blamed = [rf"tumour {n}\b" for n in guilty]
        else:
            guilty = {0, 1}
            blamed = [r"tumours 0 to 1\b"]
        for tumour in range(3):
            if tumour in guilty:
                with pytest.raises(DamagedStoreError, match=blamed[0]) as caught:
                    broken.density(tumour)
                assert str(shard) in str(caught.value)
            else:
                np.testing.assert_array_equal(broken.density(tumour), sound[tumour])
        flip(shard, position)
    np.testing.assert_array_equal(open_store(tiny_store).density(0), sound[0])


@pytest.mark.parametrize("key", ["zarr.json", "table/zarr.json", "table/c/0/0", "density/zarr.json"])
def test_a_flipped_byte_of_metadata_or_table_never_yields_parameters(tiny_store, key):
    path = tiny_store / "segments" / open_store(tiny_store).segments[0].name / key
    for position in range(0, path.stat().st_size, 7):
        flip(path, position)
        with pytest.raises(DamagedStoreError, match="is not what was written") as caught:
            open_store(tiny_store).parameters(1)
        assert str(path) in str(caught.value)
        flip(path, position)


def test_a_shard_cut_after_opening_names_the_tumour_or_file(tiny_store):
    store = open_store(tiny_store)
    shard = tiny_store / "segments" / store.segments[0].name / "density/c/0/0/0/0"
    store.density(0)
    shard.write_bytes(shard.read_bytes()[:20])
    with pytest.raises(DamagedStoreError, match="cut short") as caught:
        store.density(1)
    assert str(shard) in str(caught.value)


def test_a_tumour_whose_parameters_nobody_knows_is_kept_with_nan_in_their_columns(tmp_path, tiny_atlas, make_tumour):
    known = make_tumour(tiny_atlas.frame, draw=4)
    tumours = [known, dataclasses.replace(known, parameters=None)]
    files = LocalFiles(tmp_path)
    record = write_segment(files, tumours, tiny_atlas.frame, 0, {})
    segment = Segment(files, record, tiny_atlas.frame)
    assert [segment.parameters(row) for row in (0, 1)] == [known.parameters, None]
    table = zarr.open_group(folder_of(files, record), mode="r")["table"][:]
    unknown = {name for name, value in zip(COLUMNS, table[1], strict=True) if np.isnan(value)}
    assert unknown == {"seed_x", "seed_y", "seed_z", "diffusivity", "proliferation", "duration", "mass_effect"}
    known_of_both = [n for n, name in enumerate(COLUMNS) if name not in unknown]
    np.testing.assert_array_equal(table[1, known_of_both], table[0, known_of_both])


def test_a_column_is_read_by_its_name(written):
    files, record, frame, tumours, _ = written
    segment = Segment(files, record, frame)
    assert segment.column("draw").tolist() == [10, 11, 12, 13]
    assert segment.column("snapshot").tolist() == [0, 3, 0, 0]
    assert segment.column("whole").tolist() == [t.whole_ml for t in tumours]


def test_columns_of_schema_1_keep_their_places():
    assert list(COLUMNS)[:6] == ["seed_x", "seed_y", "seed_z", "diffusivity", "proliferation", "duration"]
    assert list(COLUMNS)[6:9] == ["whole", "core", "peak"]
    assert list(COLUMNS)[15:] == ["draw", "snapshot", "mass_effect", "least_jacobian"]


def test_a_table_of_zeros_alone_is_read(tiny_store, tiny_atlas):
    nothing = EncodedTumour.from_density(
        np.zeros(tiny_atlas.frame.shape, np.float32),
        tiny_atlas.frame,
        GrowthParameters((0, 0, 0), 0, 0, 0),
        {"whole": 0.2, "core": 0.6},
        draw=0,
    )
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([nothing], {})
    assert verify(open_store(tiny_store), full=True) == []
    assert open_store(tiny_store).parameters(3) == nothing.parameters
