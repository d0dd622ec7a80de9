"""A store that schema 1 wrote, read and continued: seven tumours of one campaign, in three versions."""

import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import UnknownTumourError
from gliodex.store import THRESHOLDS, Campaign, EncodedTumour, collect_garbage, open_store, verify, writing

from .looking import contents, contents_at, unnamed, versions

ARCHIVE = Path(__file__).parent / "stores" / "schema_1.tar.xz"

# What the program that wrote the store said of it.
CAMPAIGN = "seed-3-271444d7"
DRAWS = [1, 3, 4, 5, 6, 9, 11]
SHA256_BEGINS = [
    "bc63d11e6f14b40d",
    "6dcb44404e5a056a",
    "086383f5c04d6ea0",
    "8dd1255d9e973550",
    "8765cd2194427140",
    "a25b4d1ff718827a",
    "443baed8a9ea6c6c",
]


@pytest.fixture
def old(tmp_path):
    """Path of the store, unpacked."""
    path = tmp_path / "schema-1"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(path, filter="data")
    return path


@pytest.fixture
def added(old, make_tumour):
    """A tumour like none of the old ones, on their frame: the second snapshot before the end of draw 12."""
    frame = open_store(old).frame
    density = np.zeros(frame.shape, np.float32)
    density[4:9, 5:12, 6:10] = 0.75
    parameters = make_tumour(frame).parameters
    return EncodedTumour.from_box(density, (0, 0, 0), frame, parameters, THRESHOLDS, draw=12, snapshot=2)


def begins(store, tumour):
    return hashlib.sha256(store.integers(tumour).tobytes()).hexdigest()[:16]


def files_of(path):
    """Bytes of every file that commits must never touch."""
    return {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file() and p.name != "lock"}


def test_a_store_of_schema_1_opens_and_is_sound(old):
    store = open_store(old)
    assert json.loads((old / "manifests" / "00000003.json").read_text())["schema"] == 1
    assert store.manifest.schema == 1
    assert (len(store), store.version, store.frame.shape) == (7, 3, (20, 20, 20))
    assert store.ids.tolist() == list(range(7))
    assert not store.deleted.any()
    assert verify(store, full=True) == []
    assert store.atlas.name == "ball"


def test_every_version_of_it_is_read(old):
    assert versions(old) == [1, 2, 3]
    for version, count in ((1, 0), (2, 4), (3, 7)):
        store = open_store(old, version)
        assert store.ids.tolist() == list(range(count))
        assert [begins(store, n) for n in store.ids] == SHA256_BEGINS[:count]
        assert verify(store, full=True) == []


def test_its_parameters_draws_and_volumes_are_what_they_were(old):
    store = open_store(old)
    p = store.parameters(2)
    assert p.seed_mm == (-0.5091504281249222, 2.410029718798082, 11.976433833441728)
    assert (p.diffusivity, p.proliferation, p.duration) == (0.16910355919017167, 0.0702541663767907, 110.20374294060534)
    for tumour, draw in enumerate(DRAWS):
        provenance = {"kind": "prior", "campaign": CAMPAIGN, "draw": draw, "snapshot": 0}
        assert store.provenance(tumour) == provenance
        assert store.known_parameters(tumour) == store.parameters(tumour)
    for record in store.segments:
        segment = store.segment(record)
        assert segment.table.shape == (record.count, 16)
        assert segment.column("snapshot").tolist() == [0] * record.count
        counted = [(store.density(n) >= np.float32(0.2)).sum() * 0.008 for n in record.ids]
        np.testing.assert_allclose(segment.column("whole"), counted)


def test_each_of_its_tumours_is_a_simulation_of_its_own(old):
    assert open_store(old).trajectories.tolist() == list(range(7))


def test_its_campaign_is_found_again_with_no_draw_half_done(old):
    campaign = open_store(old).manifest.campaigns[CAMPAIGN]
    assert campaign.key == CAMPAIGN
    assert (campaign.seed, campaign.draws, campaign.count, campaign.part) == (3, 12, 7, 0)
    assert Campaign(3, campaign.prior).key == CAMPAIGN


def test_a_commit_makes_it_the_newest_schema_and_changes_no_old_file(old, added):
    before, files = contents_at(old), files_of(old)
    with writing(old, "test") as writer:
        record = writer.commit_tumours([added], {"kind": "prior", "campaign": CAMPAIGN})
    assert list(record.ids) == [7]
    store = open_store(old)
    assert (store.manifest.schema, store.version, len(store)) == (3, 4, 8)
    assert json.loads((old / "manifests" / "00000004.json").read_text())["schema"] == 3
    after = contents(store)
    assert after[7][1:] == (added.parameters, {"kind": "prior", "campaign": CAMPAIGN, "draw": 12, "snapshot": 2})
    assert {tumour: after[tumour] for tumour in before} == before
    assert store.trajectories.tolist() == list(range(8))
    assert verify(store, full=True) == []
    assert files_of(old).items() >= files.items()
    assert open_store(old, 3).manifest.schema == 1
    assert contents_at(old, 3) == before


def test_snapshots_of_a_draw_of_the_old_campaign_join_its_trajectory(old, added):
    with writing(old, "test") as writer:
        writer.commit_tumours([added, added], {"kind": "prior", "campaign": CAMPAIGN})
    assert open_store(old).trajectories.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7]


def test_its_tumours_can_be_deleted(old):
    before = contents_at(old)
    with writing(old, "test") as writer:
        writer.delete([0, 4, 5, 6])
    store = open_store(old)
    assert (store.manifest.schema, store.manifest.deleted, store.ids.tolist()) == (3, (0,), [1, 2, 3])
    assert contents(store) == {tumour: before[tumour] for tumour in (1, 2, 3)}
    with pytest.raises(UnknownTumourError):
        store.density(4)
    assert verify(store, full=True) == []
    assert contents_at(old, 3) == before
    with writing(old, "test") as writer:
        assert writer.manifest.next_id == 7


def test_garbage_collection_takes_its_old_versions_and_leaves_the_rest_as_it_was(old, added):
    before = contents_at(old)
    collect_garbage(old, keep=3)
    assert versions(old) == [1, 2, 3]
    with writing(old, "test") as writer:
        writer.commit_tumours([added], {})
        writer.delete([4, 5, 6])
    collect_garbage(old, keep=3)
    assert contents_at(old, 3) == before
    collect_garbage(old)
    store = open_store(old)
    assert (store.version, store.ids.tolist()) == (5, [0, 1, 2, 3, 7])
    assert {tumour: contents(store)[tumour] for tumour in range(4)} == {tumour: before[tumour] for tumour in range(4)}
    assert verify(store, full=True) == []
    assert [key for key in unnamed(old) if not key.startswith("derived/")] == []
    assert (old / "derived" / "dice" / "blocks.bin").is_file()
