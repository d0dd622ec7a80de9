"""Builds of one small campaign, cut short, split, killed and repeated: the store must come out the same."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import GliodexError, InputError, OutputError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, Prior, build, builder
from gliodex.simulate.prior import tissue_voxels
from gliodex.store.integers import quantise
from gliodex.store.reader import open_store
from gliodex.store.verify import verify

PRIOR = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
SEED = 5


@pytest.fixture(scope="module")
def atlas(ellipsoid_atlas):
    return ellipsoid_atlas


@pytest.fixture
def build_here(atlas, tmp_path):
    """Build the module's campaign in a fresh folder, in this process unless told otherwise."""

    def run(count, name="store", **changes):
        options = {"seed": SEED, "atlas": atlas, "prior": PRIOR, "workers": 1} | changes
        return build(tmp_path / name, count, **options)

    run.store = lambda name="store": open_store(tmp_path / name)
    run.path = lambda name="store": tmp_path / name
    return run


@pytest.fixture(scope="module")
def reference(atlas, tmp_path_factory):
    """Sixty tumours of the campaign in one go."""
    path = tmp_path_factory.mktemp("reference") / "store"
    build(path, 60, SEED, atlas, prior=PRIOR, workers=1)
    return open_store(path)


def draws_of(store, ids=None):
    return [store.provenance(int(i))["draw"] for i in (store.ids if ids is None else ids)]


def assert_same_tumours(store, expected, count):
    """The first `count` tumours have the ids, densities, parameters and draws of `expected`."""
    assert list(store.ids) == list(expected.ids[:count])
    assert draws_of(store) == draws_of(expected)[:count]
    for tumour in store.ids:
        assert store.parameters(tumour) == expected.parameters(tumour)
        np.testing.assert_array_equal(store.integers(tumour), expected.integers(tumour))


def only_campaign(store):
    (campaign,) = store.manifest.campaigns.values()
    return campaign


class StopError(Exception):
    """Raised from a progress callback."""


class TestWhatIsBuilt:
    def test_count_is_exact_and_the_store_sound(self, build_here):
        report = build_here(23)
        store = build_here.store()
        assert len(store) == report.count == report.added == report.target == 23
        assert verify(store, full=True) == []
        assert report.draws >= report.added + report.previewed_out > report.added
        assert 0 < report.accepted_share < 1
        assert report.per_second > 0

    def test_densities_are_simulations_of_their_parameters(self, reference, atlas):
        solver = FisherKolmogorov(atlas)
        tissue = tissue_voxels(atlas)
        for tumour, draw in zip(reference.ids[::7], draws_of(reference)[::7], strict=True):
            parameters = reference.parameters(tumour)
            assert parameters == PRIOR.draw(atlas, tissue, SEED, draw)
            np.testing.assert_array_equal(reference.integers(tumour), quantise(solver(parameters)))

    def test_every_tumour_has_a_size_that_the_prior_keeps(self, reference):
        for tumour in reference.ids:
            u = reference.density(tumour)
            whole, core = (np.count_nonzero(u >= np.float32(t)) * reference.frame.voxel_ml for t in (0.2, 0.6))
            assert 0.5 <= whole <= 150
            assert 0.1 <= core <= 120

    def test_no_draw_between_two_tumours_was_passed_over(self, reference, atlas):
        """All draws up to the last one are simulated here: those that are kept are those in the store."""
        solver, tissue = FisherKolmogorov(atlas), tissue_voxels(atlas)
        kept, previewed = [], builder.SizePreview(atlas, FisherKolmogorovSettings(), PRIOR)
        for index in range(max(draws_of(reference)) + 1):
            parameters = PRIOR.draw(atlas, tissue, SEED, index)
            integers = quantise(solver(parameters))
            whole, core = (np.count_nonzero(integers >= level) * atlas.frame.voxel_ml for level in (819, 2457))
            if PRIOR.keeps(whole, core) and not previewed(parameters).hopeless:
                kept.append(index)
        assert draws_of(reference) == kept

    def test_ids_and_draws_rise_and_provenance_names_the_campaign(self, reference):
        assert list(reference.ids) == list(range(60))
        draws = draws_of(reference)
        assert draws == sorted(set(draws))
        campaign = only_campaign(reference)
        assert campaign.count == 60
        assert campaign.draws == draws[-1] + 1
        assert reference.provenance(0) == {"kind": "prior", "campaign": campaign.key, "draw": draws[0], "snapshot": 0}

    def test_store_holds_the_atlas_the_prior_and_the_model(self, reference, atlas):
        assert reference.atlas.digest == atlas.digest
        assert reference.manifest.model == FisherKolmogorovSettings().as_record()
        assert only_campaign(reference).prior == PRIOR.as_record()

    def test_settings_reach_the_solver(self, build_here, atlas):
        chosen = FisherKolmogorovSettings(face_mean="arithmetic", grey_ratio=5)
        build_here(3, settings=chosen)
        store = build_here.store()
        for tumour in store.ids:
            expected = quantise(FisherKolmogorov(atlas, chosen)(store.parameters(tumour)))
            np.testing.assert_array_equal(store.integers(tumour), expected)


class TestSameAgain:
    def test_done_does_nothing(self, build_here):
        build_here(7)
        before = build_here.store()
        calls = []
        for count in (7, 3):
            report = build_here(count, progress=calls.append)
            assert (report.added, report.draws, report.count) == (0, 0, 7)
        assert not calls
        assert build_here.store().version == before.version

    @pytest.mark.parametrize("counts", [(10, 25), (1, 2, 3, 60), (33, 34, 60)])
    def test_extending_equals_one_go(self, build_here, reference, counts):
        for count in counts:
            report = build_here(count)
            assert report.count == len(build_here.store()) == count
        assert_same_tumours(build_here.store(), reference, counts[-1])

    def test_old_versions_stay_readable(self, build_here, reference):
        build_here(5)
        old = build_here.store()
        build_here(12)
        assert len(old) == len(open_store(build_here.path(), old.version)) == 5
        assert_same_tumours(old, reference, 5)

    @pytest.mark.parametrize("full_segment", [1, 7, 60])
    def test_size_of_segments_does_not_matter(self, build_here, reference, monkeypatch, full_segment):
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", full_segment)
        build_here(60)
        store = build_here.store()
        assert max(s.count for s in store.segments) == full_segment
        assert_same_tumours(store, reference, 60)

    def test_committing_all_the_time_does_not_matter(self, build_here, reference, monkeypatch):
        monkeypatch.setattr(builder, "COMMIT_SECONDS", 0.0)
        build_here(60)
        assert len(build_here.store().segments) > 2
        assert_same_tumours(build_here.store(), reference, 60)

    @pytest.mark.parametrize("block", [1, 5, 200])
    def test_size_of_blocks_does_not_matter(self, build_here, reference, monkeypatch, block):
        monkeypatch.setattr(builder, "_BLOCK_DRAWS", block)
        build_here(41)
        assert_same_tumours(build_here.store(), reference, 41)

    def test_two_workers_equal_one(self, build_here, reference):
        build_here(25, workers=2)
        assert_same_tumours(build_here.store(), reference, 25)
        build_here(60, workers=1)
        assert_same_tumours(build_here.store(), reference, 60)


class TestOtherCampaigns:
    def test_another_seed_extends_the_store(self, build_here, reference):
        build_here(6)
        report = build_here(4, seed=SEED + 1)
        store = build_here.store()
        assert report.count == 4
        assert list(store.ids) == list(range(10))
        assert sorted(c.count for c in store.manifest.campaigns.values()) == [4, 6]
        assert len({store.parameters(i) for i in store.ids}) == 10
        build_here(9)
        grown = build_here.store()
        assert len(grown) == 13
        first = [i for i in grown.ids if grown.provenance(i)["campaign"].startswith(f"seed-{SEED}-")]
        assert first == [*range(6), 10, 11, 12]
        assert draws_of(grown, first) == draws_of(reference)[:9]
        for tumour, same in zip(first, range(9), strict=True):
            np.testing.assert_array_equal(grown.integers(tumour), reference.integers(same))

    def test_a_changed_prior_is_another_campaign(self, build_here):
        build_here(4)
        build_here(3, prior=Prior((0.1, 0.2), (0.03, 0.05), (100, 200), (0.5, 150), (0.1, 120)))
        store = build_here.store()
        assert len(store) == 7
        assert len(store.manifest.campaigns) == 2
        assert all(0.1 <= store.parameters(i).diffusivity <= 0.2 for i in (4, 5, 6))

    def test_another_atlas_is_refused(self, build_here, white_block):
        build_here(2)
        with pytest.raises(InputError, match="built in the atlas ellipsoid"):
            build_here(4, atlas=white_block((32, 32, 32), 4.0))
        assert len(build_here.store()) == 2

    def test_other_settings_are_refused_by_name(self, build_here):
        build_here(2)
        with pytest.raises(InputError, match=r"another growth model \(grey_ratio differ"):
            build_here(4, settings=FisherKolmogorovSettings(grey_ratio=5))
        assert len(build_here.store()) == 2


class TestCutShort:
    def test_progress_rises_and_may_stop_the_build(self, build_here):
        seen = []

        def progress(report):
            seen.append((report.count, report.draws))
            if len(seen) == 3:
                raise StopError

        with pytest.raises(StopError):
            build_here(1000, progress=progress)
        counts, draws = zip(*seen, strict=True)
        assert list(draws) == [32, 64, 96]
        assert list(counts) == sorted(counts)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_interrupted_then_resumed_equals_uninterrupted(self, build_here, reference, monkeypatch, workers):
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", 4)

        def interrupt(report):
            if report.draws >= 64:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_here(60, workers=workers, progress=interrupt)
        partial = build_here.store()
        assert 0 < len(partial) < 60
        assert verify(partial, full=True) == []
        assert_same_tumours(partial, reference, len(partial))
        assert only_campaign(partial).count == len(partial)
        build_here(60)
        assert_same_tumours(build_here.store(), reference, 60)

    def test_interrupted_again_and_again_equals_uninterrupted(self, build_here, reference, monkeypatch):
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", 3)
        monkeypatch.setattr(builder, "COMMIT_SECONDS", 0.0)
        for attempt in range(40):

            def interrupt(report, after=attempt % 3 + 1):
                if report.draws >= 32 * after and report.count < 60:
                    raise KeyboardInterrupt

            try:
                build_here(60, progress=interrupt)
                break
            except KeyboardInterrupt:
                assert_same_tumours(build_here.store(), reference, len(build_here.store()))
        assert_same_tumours(build_here.store(), reference, 60)

    def test_a_killed_worker_is_reported_and_the_build_goes_on_when_run_again(self, build_here, reference):
        older, killed = set(multiprocessing.active_children()), []

        def kill_one(report):
            if report.draws > 20_000:
                raise StopError
            if not killed:
                killed.append(next(p.pid for p in multiprocessing.active_children() if p not in older))
                os.kill(killed[0], signal.SIGKILL)

        with pytest.raises(GliodexError, match=r"worker process died .* of 100000 .*run the same command") as caught:
            build_here(100_000, workers=2, progress=kill_one)
        store = build_here.store()
        assert 0 < len(store) < 100_000
        assert f"with {len(store)} of" in str(caught.value)
        assert verify(store, full=True) == []
        assert draws_of(store)[:60] == draws_of(reference)[: len(store)]
        goal = len(store) + 5
        build_here(goal, workers=2)
        assert len(build_here.store()) == goal
        build_here(goal, name="one-go")
        assert_same_tumours(build_here.store(), build_here.store("one-go"), goal)

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of processes from /proc")
    def test_a_killed_build_leaves_no_workers_and_goes_on_when_run_again(self, build_here, reference, atlas):
        """SIGKILL gives the builder no chance to tidy up: neither its lock nor its workers may stay."""
        making = build_here.path("making.pickle")
        making.write_bytes(pickle.dumps((str(build_here.path()), SEED, atlas, PRIOR)))
        process = subprocess.Popen([sys.executable, "-c", _BUILD_FOR_EVER, str(making)], stdout=subprocess.PIPE)
        with process:
            assert process.stdout is not None
            workers = [int(pid) for pid in process.stdout.readline().split()]
            wait_for(lambda: len(build_here.store()) >= 8)
            process.kill()
        assert len(workers) == 2
        wait_for(lambda: not any(map(is_running, workers)))
        partial = build_here.store()
        assert verify(partial, full=True) == []
        assert draws_of(partial)[:60] == draws_of(reference)[: len(partial)]
        goal = max(60, len(partial) + 3)
        build_here(goal)
        resumed = build_here.store()
        assert len(resumed) == goal
        assert_same_tumours(reference, resumed, 60)

    def test_workers_end_with_the_build(self, build_here):
        older = set(multiprocessing.active_children())
        build_here(5, workers=2)
        for worker in set(multiprocessing.active_children()) - older:
            worker.join(60)
        assert set(multiprocessing.active_children()) <= older


_BUILD_FOR_EVER = """
import multiprocessing, pickle, sys
from pathlib import Path
from gliodex.simulate import build, builder

builder.SEGMENT_TUMOURS = 4
path, seed, atlas, prior = pickle.loads(Path(sys.argv[1]).read_bytes())

def name_workers(report):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

build(path, 100_000, seed, atlas, prior=prior, workers=2, progress=name_workers)
"""


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for(reached, seconds=60.0):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestRefused:
    def test_too_little_disk(self, build_here, monkeypatch):
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**6))
        with pytest.raises(OutputError, match=r"the disk has 0\.0 GB free"):
            build_here(100_000)
        assert len(build_here.store()) == 0
        build_here(5)
        assert len(build_here.store()) == 5

    @pytest.mark.parametrize(
        "wrong",
        [
            {"count": 0},
            {"count": -3},
            {"seed": -1},
            {"workers": 0},
            {"workers": -2},
            {"seed": 2**64},
        ],
        ids=str,
    )
    def test_senseless_numbers(self, build_here, wrong):
        options = {"count": 3} | wrong
        with pytest.raises(InputError):
            build_here(options.pop("count"), **options)
        assert not build_here.path().exists()

    def test_the_largest_seeds_work(self, build_here):
        report = build_here(2, seed=2**64 - 1)
        assert report.count == 2

    def test_numpy_numbers_work(self, build_here):
        build_here(np.int64(3), seed=np.int64(SEED))
        assert len(build_here.store()) == 3
