import json
import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from gliodex.cli.stores import Preparation
from gliodex.index import PREPARED, build_index
from gliodex.store import open_store, writing

from ..retrieval.anatomy import files_below, flip_byte, shard_of
from .conftest import without_lock


@pytest.fixture
def copied_store(brain_store, tmp_path):
    return shutil.copytree(brain_store, tmp_path / "copy")


def blocks(store):
    return store / "derived" / "dice" / "blocks.bin"


def test_info_says_what_a_store_holds(gliodex, brain_store):
    ran = gliodex("info", brain_store)
    assert (ran.code, ran.err) == (0, "")
    for expected in ("24 in 1 segments", "icbm152, 128", "seed-3-"):
        assert expected in ran.joined


def test_info_as_json(gliodex, brain_store):
    ran = gliodex("info", brain_store, "--json")
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    store = open_store(brain_store)
    assert facts["count"] == 24
    assert facts["version"] == store.version == 2
    assert facts["segments"] == 1
    size = sum(p.stat().st_size for p in (brain_store / "segments").rglob("*") if p.is_file())
    assert facts["bytes"] == size
    assert facts["bytes_per_tumour"] == round(size / 24)
    assert facts["derived_bytes"] == sum(p.stat().st_size for p in (brain_store / "derived").rglob("*") if p.is_file())
    assert facts["atlas"] == "icbm152"
    assert facts["frame"]["shape"] == [128, 128, 128]
    assert facts["thresholds"] == {"whole": 0.2, "core": 0.6}
    (campaign,) = facts["campaigns"].values()
    assert (campaign["seed"], campaign["count"]) == (3, 24)


def test_info_of_versions(gliodex, small_store):
    counts = [json.loads(gliodex("info", f"{small_store}@{v}", "--json").out)["count"] for v in (1, 2, 3)]
    assert counts == [0, 3, 5]
    assert json.loads(gliodex("info", small_store, "--json").out)["version"] == 3


def test_info_changes_nothing(gliodex, small_store):
    before = files_below(small_store)
    gliodex("info", small_store)
    assert files_below(small_store) == before


@pytest.mark.parametrize("command", ["info", "index", "verify", "gc"])
@pytest.mark.parametrize("what", ["nothing", "empty folder", "file"])
def test_what_is_no_store_is_refused(gliodex, tmp_path, command, what):
    path = tmp_path / "place"
    if what == "empty folder":
        path.mkdir()
    elif what == "file":
        path.write_text("hello")
    before = sorted(tmp_path.rglob("*"))
    ran = gliodex(command, path)
    assert ran.code == 2
    assert str(path) in ran.said
    assert "not a gliodex store" in ran.said
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("version", "advice"), [("99", "versions 1 to 3"), ("new", "STORE@VERSION"), ("", "STORE@VERSION")]
)
def test_a_version_that_does_not_exist_is_refused(gliodex, small_store, version, advice):
    ran = gliodex("info", f"{small_store}@{version}")
    assert ran.code == 2
    assert str(small_store) in ran.said
    assert advice in ran.said


@pytest.mark.parametrize("command", ["info", "index", "verify", "gc"])
def test_a_newer_schema_is_refused(gliodex, indexed_store, command):
    path = indexed_store / "manifests" / "00000003.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps(body | {"schema": 999}))
    ran = gliodex(command, indexed_store)
    assert ran.code == 2
    assert str(indexed_store) in ran.said
    assert "schema 999" in ran.said
    assert "upgrade" in ran.said


@pytest.mark.parametrize("command", ["info", "index", "verify", "gc"])
@pytest.mark.parametrize("position", [3, 0.3, 0.7])
def test_a_damaged_manifest_is_refused(gliodex, indexed_store, command, position):
    path = indexed_store / "manifests" / "00000003.json"
    flip_byte(path, position if position > 1 else int(position * path.stat().st_size))
    ran = gliodex(command, indexed_store)
    assert ran.code == 2
    assert str(path) in ran.said


@pytest.mark.parametrize("full", [(), ("--full",)], ids=["structure", "full"])
def test_a_sound_store_is_verified(gliodex, brain_store, full):
    ran = gliodex("verify", brain_store, *full)
    assert (ran.code, ran.err.strip()) == (0, "")
    assert "24 tumours" in ran.joined
    assert "sound" in ran.joined
    assert ("(every byte)" in ran.joined) == bool(full)


@pytest.mark.parametrize("tumour", [0, 4])
def test_full_verification_names_the_damaged_tumour_and_file(gliodex, indexed_store, tumour):
    path, start, length = shard_of(open_store(indexed_store), tumour)
    flip_byte(path, start + length // 2)
    ran = gliodex("verify", indexed_store, "--full")
    assert ran.code == 2
    assert str(indexed_store) in ran.said
    listed = [line for line in ran.out.splitlines() if str(path) in line]
    assert any(f"tumour {tumour}" in line for line in listed)
    assert not any(f"tumour {other}" in ran.out for other in range(5) if other != tumour)


@pytest.mark.parametrize("part", ["manifests", "atlas", "segments", "derived"])
def test_full_verification_finds_a_wrong_byte_in_any_kind_of_file(gliodex, indexed_store, part):
    newest = "00000003.json"
    files = [p for p in (indexed_store / part).rglob("*") if p.is_file() and p.name != "lock"]
    files = [p for p in files if part != "manifests" or p.name == newest]
    assert files
    for path in files:
        whole = path.read_bytes()
        flip_byte(path, len(whole) // 2)
        ran = gliodex("verify", indexed_store, "--full")
        assert ran.code == 2, path
        assert ran.said
        assert path.name in ran.out + ran.err or str(path.parent) in ran.out + ran.err, path
        path.write_bytes(whole)
    assert gliodex("verify", indexed_store, "--full").code == 0


def test_a_missing_file_is_found_without_reading_all(gliodex, indexed_store):
    path, _, _ = shard_of(open_store(indexed_store), 4)
    path.unlink()
    ran = gliodex("verify", indexed_store)
    assert ran.code == 2
    assert str(path) in ran.said
    assert "missing" in ran.said


def test_the_index_is_made_once(gliodex, small_store):
    ran = gliodex("index", small_store)
    assert (ran.code, ran.err.strip()) == (0, "")
    assert "5 tumours" in ran.joined
    before = files_below(small_store)
    assert gliodex("index", small_store).code == 0
    assert files_below(small_store) == before


def untimed(folder):
    """Every file below a folder, but not how long it took to make."""
    found = without_lock(folder)
    for name in [name for name in found if name.endswith("directory.json")]:
        directory = json.loads(found[name])["directory"]
        for segment in directory["segments"].values():
            assert segment.pop("seconds") > 0
        found[name] = directory
    return found


@pytest.mark.parametrize("damage", ["blocks", "directory", "cut", "missing"])
def test_rebuilding_repairs_a_damaged_index(gliodex, indexed_store, damage):
    sound = untimed(indexed_store / "derived")
    path = blocks(indexed_store)
    if damage == "blocks":
        flip_byte(path, path.stat().st_size // 2)
    elif damage == "directory":
        flip_byte(path.with_name("directory.json"), 60)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    ran = gliodex("verify", indexed_store)
    assert ran.code == 2
    assert "with rebuild" in ran.out
    assert gliodex("index", indexed_store, "--rebuild").code == 0
    assert gliodex("verify", indexed_store, "--full").code == 0
    assert untimed(indexed_store / "derived") == sound


def test_rebuilding_where_there_is_no_index_makes_one(gliodex, small_store):
    assert gliodex("index", small_store, "--rebuild").code == 0
    assert blocks(small_store).is_file()


@pytest.mark.parametrize("command", ["index", "verify", "info"])
def test_an_empty_store_is_no_fault(gliodex, make_store, small_atlas, command):
    ran = gliodex(command, make_store(small_atlas))
    assert ran.code == 0
    assert ran.err.strip() == ""


def test_gc_removes_what_killed_builds_left(gliodex, indexed_store):
    keep = without_lock(indexed_store)
    strays = [
        indexed_store / "manifests" / "00000004.json.0a1b2c3d.partial",
        indexed_store / "segments" / "deadbeef0123" / "zarr.json",
        indexed_store / "segments" / "deadbeef0123" / "table" / "zarr.json.11111111.partial",
        indexed_store / "derived" / "dice" / "directory.json.partial",
    ]
    for path in strays:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 1000)
    ran = gliodex("gc", indexed_store, "--keep", "3")
    assert (ran.code, ran.err) == (0, "")
    assert "4 files deleted" in ran.joined
    assert without_lock(indexed_store) == keep
    assert not (indexed_store / "segments" / "deadbeef0123").exists()


def test_gc_deletes_old_versions(gliodex, indexed_store):
    assert gliodex("gc", indexed_store).code == 0
    assert [p.name for p in (indexed_store / "manifests").iterdir()] == ["00000003.json"]
    assert gliodex("verify", indexed_store, "--full").code == 0
    ran = gliodex("info", f"{indexed_store}@2")
    assert ran.code == 2
    assert "version 2" in ran.said


@pytest.fixture
def aged_store(indexed_store, monkeypatch):
    """Path of a store whose versions 4 to 7 were committed 30, 20, 10 and 0 days ago; 1 to 3 were gone before."""
    now = datetime.now(UTC)
    for tumour, days in enumerate((30, 20, 10, 0)):
        clock = SimpleNamespace(now=lambda tz, ago=timedelta(days=days): now.astimezone(tz) - ago)
        with monkeypatch.context() as patched, writing(indexed_store, "test") as writer:
            patched.setattr("gliodex.store.manifest.datetime", clock)
            writer.delete([tumour])
    for version in (1, 2, 3):
        (indexed_store / "manifests" / f"{version:08d}.json").unlink()
    return indexed_store


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ((), [7]),
        (("--keep-days", "0"), [7]),
        (("--keep-days", "5"), [6, 7]),  # version 6 was the newest five days ago
        (("--keep-days", "10.5"), [5, 6, 7]),
        (("--keep-days", "15"), [5, 6, 7]),
        (("--keep-days", "25"), [4, 5, 6, 7]),
        (("--keep-days", "4000"), [4, 5, 6, 7]),
        (("--keep", "3", "--keep-days", "5"), [5, 6, 7]),
        (("--keep", "2", "--keep-days", "15"), [5, 6, 7]),
    ],
)
def test_gc_keeps_what_was_the_newest_version_within_some_days(gliodex, aged_store, options, left):
    expected = {version: open_store(aged_store, version).ids.tolist() for version in left}
    ran = gliodex("gc", aged_store, *options)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(int(p.stem) for p in (aged_store / "manifests").iterdir()) == left
    for version, ids in expected.items():
        assert open_store(aged_store, version).ids.tolist() == ids
        assert gliodex("verify", f"{aged_store}@{version}", "--full").code == 0


def test_gc_of_a_young_store_keeps_every_version_for_a_day(gliodex, indexed_store):
    before = without_lock(indexed_store)
    assert "0 files deleted" in gliodex("gc", indexed_store, "--keep-days", "1").joined
    assert without_lock(indexed_store) == before


@pytest.mark.parametrize(
    "days",
    [
        "-1",
        "nan",
        "soon",
        *(days for days in ("inf", "1e6", "1e12")),
    ],
)
def test_days_that_cannot_be_kept_are_refused_or_mean_all(gliodex, aged_store, days):
    ran = gliodex("gc", aged_store, "--keep-days", days)
    if days in {"inf", "1e6", "1e12"}:
        assert ran.code in {0, 2}
    else:
        assert ran.code == 2
        assert "--keep-days" in ran.said
    assert len(list((aged_store / "manifests").iterdir())) == 4


def test_info_does_not_count_what_was_deleted(gliodex, snapshots_store):
    with writing(snapshots_store, "test") as writer:
        writer.delete([0, 7])
    facts = json.loads(gliodex("info", snapshots_store, "--json").out)
    assert (facts["count"], facts["segments"], facts["schema"]) == (10, 1, 3)
    assert "10 in 1 segments" in gliodex("info", snapshots_store).joined
    assert "10 tumours in version 3 are sound" in gliodex("verify", snapshots_store, "--full").joined
    assert "10 tumours" in gliodex("index", snapshots_store, "--rebuild").joined


def test_a_locked_store_is_refused(gliodex, indexed_store):
    with writing(indexed_store, "a long build"):
        ran = gliodex("gc", indexed_store)
    assert ran.code == 2
    assert "a long build" in ran.said
    assert str(indexed_store) in ran.said


def test_folder_names_are_printed_as_they_are(gliodex, indexed_store, tmp_path):
    odd = tmp_path / "[red]brains [2]"
    shutil.copytree(indexed_store, odd)
    for command in ("index", "verify", "gc"):
        ran = gliodex(command, odd)
        assert ran.code == 0, ran.err
        assert "".join(str(odd).split()) in "".join(ran.out.split()), command


def test_folder_names_like_closing_markup_are_no_fault(gliodex, indexed_store, tmp_path):
    odd = tmp_path / "brains[" / "red]"
    odd.parent.mkdir()
    shutil.copytree(indexed_store, odd)
    assert gliodex("verify", odd).code == 0


def test_index_of_a_copied_store_is_used(gliodex, copied_store):
    before = files_below(copied_store)
    build_index(open_store(copied_store))
    assert gliodex("index", copied_store).code == 0
    assert files_below(copied_store) == before


def test_the_command_line_knows_all_methods_and_all_that_can_be_prepared():
    assert {preparation.value for preparation in Preparation} == set(PREPARED)


@pytest.mark.parametrize("method", ["ds64", "ds32", "thresholds"])
def test_every_method_can_be_prepared_verified_and_made_anew(gliodex, indexed_store, method):
    ran = gliodex("index", indexed_store, "--method", method)
    assert (ran.code, f"{method} index of 5 tumours is ready" in ran.joined) == (0, True)
    assert gliodex("verify", indexed_store).code == 0
    flip_byte(indexed_store / "derived" / method / "blocks.bin", 30)
    ran = gliodex("verify", indexed_store)
    assert ran.code == 2
    assert f"with index={method}, rebuild" in ran.out
    assert gliodex("index", indexed_store, "--method", method, "--rebuild").code == 0
    assert gliodex("verify", indexed_store).code == 0
