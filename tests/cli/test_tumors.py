"""`gliodex delete`, `export` and `history`: what they do, what they say, and that refused they do nothing."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from gliodex.store import open_store, writing

from ..retrieval.anatomy import flip_byte, shard_of
from .conftest import without_lock


class TestDelete:
    @pytest.mark.parametrize(
        ("ids", "left"),
        [
            ("0", [1, 2, 3, 4]),
            ("4", [0, 1, 2, 3]),
            ("1,3", [0, 2, 4]),
            ("0-2", [3, 4]),
            (" 3 , 0-1 ", [2, 4]),
            ("2,2,1-3,3", [0, 4]),
            ("0-4", []),
            ("1-1", [0, 2, 3, 4]),
        ],
    )
    def test_deleted_tumours_are_no_longer_in_the_store(self, gliodex, indexed_store, ids, left):
        ran = gliodex("delete", indexed_store, ids)
        assert (ran.code, ran.err.strip()) == (0, "")
        assert f"{5 - len(left)} tumours deleted; it now holds {len(left)}, version 4" in ran.joined
        store = open_store(indexed_store)
        assert store.ids.tolist() == left
        assert json.loads(gliodex("info", indexed_store, "--json").out)["count"] == len(left)
        assert gliodex("verify", indexed_store, "--full").code == 0
        assert gliodex("index", indexed_store).code == 0

    def test_older_versions_keep_them(self, gliodex, indexed_store):
        gliodex("delete", indexed_store, "0-3")
        assert open_store(indexed_store, 3).ids.tolist() == list(range(5))
        np.testing.assert_array_equal(
            open_store(indexed_store, 3).integers(4), open_store(indexed_store, 4).integers(4)
        )

    def test_their_ids_are_never_used_again(self, gliodex, indexed_store, density):
        gliodex("delete", indexed_store, "3,4")
        gliodex("add", indexed_store, "--source", "s", "--density", density)
        assert open_store(indexed_store).ids.tolist() == [0, 1, 2, 5]

    def test_gc_frees_the_segments_that_hold_no_others(self, gliodex, indexed_store):
        gliodex("delete", indexed_store, "0-2")
        assert len(list((indexed_store / "segments").iterdir())) == 2
        assert gliodex("gc", indexed_store).code == 0
        assert len(list((indexed_store / "segments").iterdir())) == 1
        assert open_store(indexed_store).ids.tolist() == [3, 4]
        assert gliodex("verify", indexed_store, "--full").code == 0

    @pytest.mark.parametrize("ids", ["5", "0,5", "4-6", "99", "0-4,1000000"])
    def test_unknown_ids_are_refused_and_none_deleted(self, gliodex, indexed_store, refused, ids):
        before = without_lock(indexed_store)
        unknown = ids.replace("-", ",").split(",")[-1]
        refused(gliodex("delete", indexed_store, ids), indexed_store, before, indexed_store, unknown, "nothing")

    def test_what_is_deleted_cannot_be_deleted_again(self, gliodex, indexed_store, refused):
        gliodex("delete", indexed_store, "1")
        before = without_lock(indexed_store)
        refused(gliodex("delete", indexed_store, "0,1"), indexed_store, before, "no tumour 1", "nothing")

    def test_a_version_is_no_place_to_delete_from(self, gliodex, indexed_store, refused):
        before = without_lock(indexed_store)
        refused(gliodex("delete", f"{indexed_store}@2", "1"), indexed_store, before, f"{indexed_store}@2")


BAD_IDS = ["", ",", "1,", "1,,2", "one", "1.5", "3-1", "1-", "1-2-3", "1:3", "0x1", "all", "-1", "+1"]
UNREAL_IDS = [
    "²",
    "0-999999999999999999",
]


@pytest.mark.parametrize("command", ["delete", "export"])
@pytest.mark.parametrize("ids", [*BAD_IDS, *UNREAL_IDS])
def test_ids_that_are_no_numbers_are_refused(gliodex, indexed_store, refused, tmp_path, command, ids):
    before = without_lock(indexed_store)
    more = ("--out", tmp_path / "out") if command == "export" else ()
    ran = gliodex(command, *more, "--", indexed_store, ids)
    refused(ran, indexed_store, before)
    assert ids.strip() in ran.said
    assert not (tmp_path / "out").exists()


class TestExport:
    def test_tumours_are_written_as_densities_with_what_is_known(self, gliodex, snapshots_store, density, tmp_path):
        gliodex("add", snapshots_store, "--source", "a lab", "--density", density)
        out = tmp_path / "deep" / "out"
        ran = gliodex("export", snapshots_store, "12,0-1", "--out", out)
        assert (ran.code, ran.err.strip()) == (0, "")
        assert "3 tumours written" in ran.joined
        assert str(out) in ran.out
        names = {"tumours.json", "tumour_0.nii.gz", "tumour_1.nii.gz", "tumour_12.nii.gz"}
        assert {p.name for p in out.iterdir()} == names
        store = open_store(snapshots_store)
        record = json.loads((out / "tumours.json").read_text())
        assert (record["version"], record["atlas"]) == (3, "ellipsoid")
        assert record["thresholds"] == {"whole": 0.2, "core": 0.6}
        assert [t["id"] for t in record["tumours"]] == [12, 0, 1]
        for told in record["tumours"]:
            image = nib.load(out / told["file"])
            assert image.get_data_dtype() == np.float32
            np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), store.density(told["id"]))
            np.testing.assert_allclose(image.affine, store.frame.affine, atol=1e-5)
            assert told["provenance"] == store.provenance(told["id"])
        assert record["tumours"][0]["parameters"] is None
        for told in record["tumours"][1:]:
            known = store.parameters(told["id"])
            assert told["parameters"]["duration"] == known.duration
            assert told["parameters"]["seed_mm"] == list(known.seed_mm)
            assert set(told["parameters"]) == set(record["units"])

    def test_what_was_exported_can_be_added(self, gliodex, indexed_store, tmp_path):
        gliodex("export", indexed_store, "3", "--out", tmp_path / "out")
        ran = gliodex("add", indexed_store, "--source", "itself", "--density", tmp_path / "out" / "tumour_3.nii.gz")
        assert ran.code == 0
        store = open_store(indexed_store)
        np.testing.assert_array_equal(store.integers(5), store.integers(3))

    def test_deleted_tumours_are_exported_from_older_versions(self, gliodex, indexed_store, tmp_path):
        gliodex("delete", indexed_store, "1")
        assert gliodex("export", f"{indexed_store}@2", "1", "--out", tmp_path / "out").code == 0
        record = json.loads((tmp_path / "out" / "tumours.json").read_text())
        assert (record["version"], record["tumours"][0]["id"]) == (2, 1)
        ran = gliodex("export", indexed_store, "1", "--out", tmp_path / "other")
        assert ran.code == 2
        assert "tumour 1" in ran.said

    def test_ids_said_twice_are_written_once(self, gliodex, indexed_store, tmp_path):
        assert "2 tumours written" in gliodex("export", indexed_store, "2,1-2,1", "--out", tmp_path / "out").joined

    def test_other_files_in_the_folder_are_kept(self, gliodex, indexed_store, tmp_path):
        (tmp_path / "theirs.txt").write_text("not ours")
        assert gliodex("export", indexed_store, "1", "--out", tmp_path).code == 0
        assert (tmp_path / "theirs.txt").read_text() == "not ours"

    def test_it_changes_no_store(self, gliodex, indexed_store, tmp_path):
        before = without_lock(indexed_store)
        gliodex("export", indexed_store, "0-4", "--out", tmp_path / "out")
        assert without_lock(indexed_store) == before

    def test_an_unknown_tumour_is_refused(self, gliodex, indexed_store, refused, tmp_path):
        before = without_lock(indexed_store)
        ran = gliodex("export", indexed_store, "7", "--out", tmp_path / "out")
        refused(ran, indexed_store, before, indexed_store, "tumour 7")

    @pytest.mark.parametrize("what", ["unknown", "damaged"])
    def test_where_one_tumour_cannot_be_had_nothing_is_written(self, gliodex, indexed_store, tmp_path, what):
        ids = "0,7"
        if what == "damaged":
            path, start, length = shard_of(open_store(indexed_store), 4)
            flip_byte(path, start + length // 2)
            ids = "0,4"
        ran = gliodex("export", indexed_store, ids, "--out", tmp_path / "out")
        assert ran.code == 2
        assert f"tumour {ids[-1]}" in ran.said
        assert not (tmp_path / "out").exists()

    def test_a_store_is_no_place_to_export_to(self, gliodex, indexed_store, refused):
        before = without_lock(indexed_store)
        refused(gliodex("export", indexed_store, "1", "--out", indexed_store), indexed_store, before, "--out")

    @pytest.mark.parametrize("below", ["file", "file/out", "file/deep/out"])
    def test_a_place_that_cannot_be_written_is_refused(self, gliodex, indexed_store, refused, tmp_path, below):
        (tmp_path / "file").write_text("in the way")
        before = without_lock(indexed_store)
        ran = gliodex("export", indexed_store, "1", "--out", tmp_path / below)
        refused(ran, indexed_store, before, tmp_path / below)
        assert (tmp_path / "file").read_text() == "in the way"


class TestHistory:
    def test_versions_are_listed_newest_first(self, gliodex, snapshots_store):
        gliodex("delete", snapshots_store, "3-5", "--note", "too regular")
        gliodex("delete", snapshots_store, "0")
        ran = gliodex("versions", snapshots_store)
        assert (ran.code, ran.err) == (0, "")
        lines = [line.split() for line in ran.out.splitlines()[1:]]
        assert [line[:2] for line in lines] == [["4", "8"], ["3", "9"], ["2", "12"], ["1", "0"]]
        assert "too regular" in ran.joined
        assert "deleted 1 tumours" in ran.joined
        assert "build seed-5-" in ran.joined
        assert max(map(len, ran.out.splitlines())) <= 80

    def test_as_json(self, gliodex, snapshots_store):
        gliodex("delete", snapshots_store, "3-5", "--note", "too regular")
        ran = gliodex("versions", snapshots_store, "--json")
        assert (ran.code, ran.err) == (0, "")
        told = json.loads(ran.out)
        assert [(v["version"], v["count"]) for v in told] == [(3, 9), (2, 12), (1, 0)]
        assert told[0]["note"] == "too regular"
        for version in told:
            manifest = open_store(snapshots_store, version["version"]).manifest
            assert version == {
                key: getattr(manifest, key) for key in ("version", "count", "committed", "software", "note")
            }

    def test_versions_that_gc_took_are_not_listed(self, gliodex, indexed_store):
        gliodex("gc", indexed_store, "--keep", "2")
        assert [v["version"] for v in json.loads(gliodex("versions", indexed_store, "--json").out)] == [3, 2]

    def test_it_changes_nothing(self, gliodex, indexed_store):
        before = without_lock(indexed_store)
        gliodex("versions", indexed_store)
        gliodex("versions", indexed_store, "--json")
        assert without_lock(indexed_store) == before

    def test_a_damaged_version_is_refused(self, gliodex, indexed_store, refused):
        path = indexed_store / "manifests" / "00000002.json"
        flip_byte(path, path.stat().st_size // 2)
        refused(gliodex("versions", indexed_store), indexed_store, without_lock(indexed_store), path)

    @pytest.mark.parametrize("note", ["[red]sic[/red] [2]", "größer – naïve", "line one\nline two"])
    def test_notes_are_kept_as_they_are(self, gliodex, indexed_store, note):
        gliodex("delete", indexed_store, "1", "--note", note)
        assert json.loads(gliodex("versions", indexed_store, "--json").out)[0]["note"] == note
        assert gliodex("versions", indexed_store).code == 0

    @pytest.mark.parametrize("note", ["[red]sic[/red]", "sic [/b]"])
    def test_notes_like_markup_are_printed_as_they_are(self, gliodex, indexed_store, note):
        gliodex("delete", indexed_store, "1", "--note", note)
        ran = gliodex("versions", indexed_store)
        assert ran.code == 0
        assert note in ran.joined


ARGUMENTS = {
    "add": lambda density, out: ("--source", "s", "--density", density),
    "delete": lambda density, out: ("1",),
    "export": lambda density, out: ("1", "--out", out),
    "versions": lambda density, out: (),
}


@pytest.mark.parametrize("command", ARGUMENTS)
@pytest.mark.parametrize("what", ["nothing", "empty folder", "file"])
def test_what_is_no_store_is_refused(gliodex, density, tmp_path, command, what):
    path = tmp_path / "place"
    if what == "empty folder":
        path.mkdir()
    elif what == "file":
        path.write_text("hello")
    before = sorted(tmp_path.rglob("*"))
    ran = gliodex(command, path, *ARGUMENTS[command](density, tmp_path / "out"))
    assert ran.code == 2
    assert str(path) in ran.said
    assert "not a gliodex store" in ran.said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("command", ["add", "delete"])
def test_a_store_that_another_process_writes_is_refused(gliodex, indexed_store, density, refused, tmp_path, command):
    before = without_lock(indexed_store)
    with writing(indexed_store, "a long build"):
        ran = gliodex(command, indexed_store, *ARGUMENTS[command](density, tmp_path / "out"))
    refused(ran, indexed_store, before, indexed_store, "a long build")


@pytest.mark.parametrize("command", ["export", "versions"])
def test_a_store_that_another_process_writes_can_be_read(gliodex, indexed_store, density, tmp_path, command):
    with writing(indexed_store, "a long build"):
        assert gliodex(command, indexed_store, *ARGUMENTS[command](density, tmp_path / "out")).code == 0


@pytest.mark.parametrize("command", ARGUMENTS)
def test_a_newer_schema_is_refused(gliodex, indexed_store, density, refused, tmp_path, command):
    path = indexed_store / "manifests" / "00000003.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 999}))
    before = without_lock(indexed_store)
    ran = gliodex(command, indexed_store, *ARGUMENTS[command](density, tmp_path / "out"))
    refused(ran, indexed_store, before, indexed_store, "schema 999", "upgrade")


@pytest.mark.parametrize("command", ["add", "delete", "export"])
def test_folder_names_are_printed_as_they_are(gliodex, indexed_store, density, tmp_path, command):
    odd = shutil.copytree(indexed_store, tmp_path / "[red]brains [" / "b]")
    ran = gliodex(command, odd, *ARGUMENTS[command](density, tmp_path / "[red]out [2]"))
    assert ran.code == 0, ran.err
    shown = odd if command != "export" else tmp_path / "[red]out [2]"
    assert str(shown) in ran.out
