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
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import GliodexError, InputError, OutputError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, Prior, build, builder
from gliodex.simulate.early_rejection import SizePreview
from gliodex.simulate.prior import tissue_voxels
from gliodex.simulate.snapshots import snapshot_shares
from gliodex.store.quantization import quantise
from gliodex.store.reader import open_store
from gliodex.store.verification import verify

PRIOR = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
SEED = 5


@pytest.fixture(scope="module")
def atlas(ellipsoid_atlas):
    return ellipsoid_atlas


@pytest.fixture(scope="module")
def snapshots(request):
    """Of each simulation: none, unless a class of tests says `with_and_without_snapshots`."""
    return getattr(request, "param", 0)


with_and_without_snapshots = pytest.mark.parametrize(
    "snapshots", [pytest.param(0, marks=pytest.mark.slow), 3], indirect=True, ids=["ends", "snapshots"]
)


@pytest.fixture
def build_here(atlas, snapshots, tmp_path):
    """Build the module's campaign in a fresh folder, in this process unless told otherwise."""

    def run(count, name="store", **changes):
        options = {"seed": SEED, "atlas": atlas, "prior": PRIOR, "workers": 1, "snapshots": snapshots} | changes
        return build(tmp_path / name, count, **options)

    run.store = lambda name="store": open_store(tmp_path / name)
    run.path = lambda name="store": tmp_path / name
    return run


@pytest.fixture(scope="module")
def reference(atlas, snapshots, tmp_path_factory):
    """Sixty tumours of the campaign in one go; with snapshots more, to come from as many blocks of draws."""
    path = tmp_path_factory.mktemp("reference") / "store"
    build(path, 180 if snapshots else 60, SEED, atlas, prior=PRIOR, snapshots=snapshots, workers=1)
    return open_store(path)


def draws_of(store, ids=None):
    return [store.provenance(int(i))["draw"] for i in (store.ids if ids is None else ids)]


def snapshots_of(store):
    return [store.provenance(int(i))["snapshot"] for i in store.ids]


def assert_same_tumours(store, expected, count):
    """The first `count` tumours have the ids, densities, parameters, draws and snapshots of `expected`."""
    assert list(store.ids) == list(expected.ids[:count])
    assert draws_of(store) == draws_of(expected)[:count]
    assert snapshots_of(store) == snapshots_of(expected)[:count]
    for tumour in store.ids:
        assert store.parameters(tumour) == expected.parameters(tumour)
        np.testing.assert_array_equal(store.integers(tumour), expected.integers(tumour))


def only_campaign(store):
    (campaign,) = store.manifest.campaigns.values()
    return campaign


def assert_settled(campaign, store):
    """A campaign says truly how far it has come: nothing beyond its first draw that is not settled is in the store."""
    draws = np.array(draws_of(store))
    assert campaign.count == len(draws)
    assert campaign.part == np.count_nonzero(draws == campaign.draws)
    assert (draws <= campaign.draws).all()


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
        kept, previewed = [], SizePreview(atlas, FisherKolmogorovSettings(), PRIOR)
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
        # where the count cut a block short, its last draw is looked at again: it might have more to give
        assert (campaign.draws, campaign.part) == (draws[-1], 1)
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


@with_and_without_snapshots
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
        build_here(len(reference))
        assert len(build_here.store().segments) > 2
        assert_same_tumours(build_here.store(), reference, len(reference))

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

    @pytest.mark.parametrize("full_segment", [1024, 5])
    def test_stopping_after_any_tumour_equals_one_go(self, build_here, reference, monkeypatch, full_segment):
        """With snapshots, most counts cut a simulation in two."""
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", full_segment)
        for count in range(1, 15):
            name = f"stopped-at-{count}"
            build_here(count, name)
            store = build_here.store(name)
            assert_same_tumours(store, reference, count)
            assert_settled(only_campaign(store), store)
            build_here(17, name)
            assert_same_tumours(build_here.store(name), reference, 17)

    def test_one_tumour_at_a_time_equals_one_go(self, build_here, reference):
        for count in range(1, 26):
            build_here(count)
            assert_settled(only_campaign(build_here.store()), build_here.store())
        assert_same_tumours(build_here.store(), reference, 25)


@pytest.mark.parametrize("snapshots", [3], indirect=True, ids=["snapshots"])
class TestSnapshots:
    def test_each_simulation_gives_its_tumours_oldest_first_counting_down_to_its_end(self, reference):
        runs = tumours_of_runs(reference)
        assert len(runs) < len(reference) / 2
        for tumours in runs.values():
            assert list(tumours) == list(range(tumours[0], tumours[0] + len(tumours)))
            numbers = [reference.provenance(t)["snapshot"] for t in tumours]
            assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
            assert 0 <= numbers[-1] <= numbers[0] <= 3
            known = [reference.parameters(t) for t in tumours]
            days = [p.duration for p in known]
            assert days == sorted(set(days))
            assert len({replace(p, duration=0) for p in known}) == 1
            sizes = [np.count_nonzero(reference.integers(t) >= 819) for t in tumours]
            assert sizes == sorted(sizes)

    def test_some_runs_were_too_small_at_first_and_some_outgrew_the_prior_in_the_end(self, reference):
        """Otherwise these tests would say nothing of them; the last run may be cut by the count."""
        numbers = [{reference.provenance(t)["snapshot"] for t in run} for run in tumours_of_runs(reference).values()]
        assert any(max(found) < 3 for found in numbers)
        assert any(0 not in found for found in numbers[:-1])
        assert any(found == {0, 1, 2, 3} for found in numbers)

    def test_ends_are_bit_for_bit_what_they_are_without_snapshots(self, build_here, reference):
        ends = [int(t) for t in reference.ids if reference.provenance(int(t))["snapshot"] == 0]
        build_here(len(ends), "ends", snapshots=0)
        without = build_here.store("ends")
        assert draws_of(without) == draws_of(reference, ends)
        for alone, end in zip(without.ids, ends, strict=True):
            assert without.parameters(alone) == reference.parameters(end)
            np.testing.assert_array_equal(without.integers(alone), reference.integers(end))

    def test_ends_have_the_parameters_of_their_draws_and_snapshots_a_shorter_duration(self, reference, atlas):
        tissue = tissue_voxels(atlas)
        for tumour, draw, snapshot in zip(reference.ids, draws_of(reference), snapshots_of(reference), strict=True):
            drawn, kept = PRIOR.draw(atlas, tissue, SEED, draw), reference.parameters(tumour)
            assert kept == (replace(drawn, duration=kept.duration) if snapshot else drawn)
            assert not snapshot or 0 < kept.duration < drawn.duration

    def test_a_snapshot_is_the_tumour_of_its_own_parameters(self, reference, atlas):
        """Simulated alone, to its own duration, in steps of its own."""
        solver = FisherKolmogorov(atlas)
        tumours = [int(t) for t in reference.ids if reference.provenance(int(t))["snapshot"]]
        assert len(tumours) > 60
        for tumour in tumours:
            kept, alone = reference.integers(tumour), quantise(solver(reference.parameters(tumour)))
            for level in (819, 2457):
                a, b = kept >= level, alone >= level
                assert 2 * np.count_nonzero(a & b) >= 0.99 * (np.count_nonzero(a) + np.count_nonzero(b)) > 0
            assert np.abs(kept.astype(int) - alone).max() <= 1  # rounded down from either side of an integer

    def test_a_snapshot_is_taken_within_a_step_of_its_share_of_the_run(self, reference, atlas):
        tissue, longest = tissue_voxels(atlas), FisherKolmogorovSettings().growth_per_step
        for run in tumours_of_runs(reference).values():
            drawn = PRIOR.draw(atlas, tissue, SEED, draws_of(reference, run[:1])[0])
            meant = np.array(snapshot_shares(3, SEED, draws_of(reference, run[:1])[0])) * drawn.duration
            for tumour in run:
                if reference.provenance(tumour)["snapshot"]:
                    away = np.abs(meant - reference.parameters(tumour).duration).min()
                    assert away <= longest / drawn.proliferation

    def test_every_tumour_has_a_size_that_the_prior_keeps(self, reference):
        for tumour in reference.ids:
            u = reference.density(tumour)
            whole, core = (np.count_nonzero(u >= np.float32(t)) * reference.frame.voxel_ml for t in (0.2, 0.6))
            assert 0.5 <= whole <= 150
            assert 0.1 <= core <= 120

    def test_no_tumour_between_two_was_passed_over(self, reference, atlas):
        """All draws are simulated here, anywhere in the brain and until they outgrow the prior."""
        solver, tissue = FisherKolmogorov(atlas), tissue_voxels(atlas)
        expected, preview = [], SizePreview(atlas, FisherKolmogorovSettings(), PRIOR)
        for index in range(max(draws_of(reference)) + 1):
            parameters = PRIOR.draw(atlas, tissue, SEED, index)
            if preview(parameters).hopeless:
                continue
            run = solver.grow(parameters, 150, None, snapshot_shares(3, SEED, index))
            stages = [(s.density, s.days) for s in run.snapshots]
            stages += [] if run.outgrew else [(run.density, parameters.duration)]
            for density, days in stages:
                integers = quantise(density)
                whole, core = (np.count_nonzero(integers >= level) * atlas.frame.voxel_ml for level in (819, 2457))
                if 0.5 <= whole <= 150 and 0.1 <= core <= 120:
                    expected.append((index, days))
        found = [(d, reference.parameters(t).duration) for t, d in zip(reference.ids, draws_of(reference), strict=True)]
        assert found == expected[: len(found)]
        assert len(expected) - len(found) <= 3  # the rest of the last run

    def test_the_store_is_sound_and_knows_which_tumours_are_of_one_simulation(self, build_here, reference, monkeypatch):
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", 5)
        build_here(40)
        store = build_here.store()
        assert verify(store, full=True) == []
        assert len(store.segments) == 8
        lowest = {}
        for tumour, draw in zip(store.ids.tolist(), draws_of(store), strict=True):
            lowest.setdefault(draw, tumour)
        assert store.trajectories.tolist() == [lowest[draw] for draw in draws_of(store)]
        across = [first for s in store.segments[1:] for first in [s.first_id] if store.trajectories[first] < first]
        assert across, "no segment ends within a simulation: the test says little"

    def test_the_number_of_snapshots_makes_another_campaign(self, build_here, reference):
        build_here(8, snapshots=0)
        build_here(9, snapshots=2)
        build_here(10)
        store = build_here.store()
        campaigns = store.manifest.campaigns
        assert [c.count for c in campaigns.values()] == [8, 9, 10]
        assert [c.prior for c in campaigns.values()] == [
            PRIOR.as_record(),
            PRIOR.as_record() | {"snapshots": 2},
            PRIOR.as_record() | {"snapshots": 3},
        ]
        assert all(key.startswith(f"seed-{SEED}-") for key in campaigns)
        assert only_campaign(reference).key == list(campaigns)[2]
        build_here(12)
        grown = build_here.store()
        mine = [t for t in grown.ids if grown.provenance(t)["campaign"] == list(campaigns)[2]]
        assert mine == [*range(17, 27), 27, 28]
        for tumour, same in zip(mine, range(12), strict=True):
            np.testing.assert_array_equal(grown.integers(tumour), reference.integers(same))
        assert not set(grown.trajectories[:17]) & set(grown.trajectories[17:]), "campaigns share no simulation"

    def test_a_campaign_goes_on_with_its_snapshots_unless_told_otherwise(self, build_here, reference):
        build_here(10)
        report = build_here(15, snapshots=None)
        assert (report.added, len(build_here.store().manifest.campaigns)) == (5, 1)
        assert_same_tumours(build_here.store(), reference, 15)
        build_here(20, snapshots=0)
        assert [c.count for c in build_here.store().manifest.campaigns.values()] == [15, 20]
        build_here(22, snapshots=None)
        assert [c.count for c in build_here.store().manifest.campaigns.values()] == [15, 22], "the larger one goes on"

    def test_a_new_campaign_has_none_by_default(self, build_here):
        build_here(4, snapshots=None)
        assert only_campaign(build_here.store()).prior == PRIOR.as_record()
        assert snapshots_of(build_here.store()) == [0] * 4

    def test_a_new_campaign_of_a_large_store_has_four_by_default(self, build_here, monkeypatch):
        monkeypatch.setattr(builder, "INDEPENDENT_TUMOURS", 10)
        build_here(10, "small", snapshots=None)
        build_here(11, "small", snapshots=None)
        build_here(11, "large", snapshots=None)
        build_here(12, "large", snapshots=4)
        small, large = (build_here.store(name) for name in ("small", "large"))
        assert (snapshots_of(small), only_campaign(small).count) == ([0] * 11, 11)
        assert only_campaign(large).prior["snapshots"] == 4
        assert only_campaign(large).count == 12
        assert max(snapshots_of(large)) > 2

    def test_the_report_counts_tumours_and_draws(self, build_here):
        report = build_here(23)
        assert len(build_here.store()) == report.count == report.added == report.target == 23
        assert report.draws >= len(tumours_of_runs(build_here.store())) + report.previewed_out

    def test_no_more_than_all_draws_are_kept(self, build_here, reference):
        report = build_here(len(reference))
        assert report.accepted_share <= 1


def tumours_of_runs(store):
    """Ids by draw, in the order of ids."""
    runs = {}
    for tumour, draw in zip(store.ids.tolist(), draws_of(store), strict=True):
        runs.setdefault(draw, []).append(tumour)
    return runs


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


@with_and_without_snapshots
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
            build_here(len(reference), workers=workers, progress=interrupt)
        partial = build_here.store()
        assert 0 < len(partial) < len(reference)
        assert verify(partial, full=True) == []
        assert_same_tumours(partial, reference, len(partial))
        assert_settled(only_campaign(partial), partial)
        build_here(len(reference))
        assert_same_tumours(build_here.store(), reference, len(reference))

    def test_interrupted_again_and_again_equals_uninterrupted(self, build_here, reference, monkeypatch):
        monkeypatch.setattr(builder, "SEGMENT_TUMOURS", 3)
        monkeypatch.setattr(builder, "COMMIT_SECONDS", 0.0)
        monkeypatch.setattr(builder, "_BLOCK_DRAWS", 5)
        attempts = 0
        for attempts in range(40):

            def interrupt(report, after=attempts % 3 + 1):
                if report.draws >= 5 * after and report.count < 60:
                    raise KeyboardInterrupt

            try:
                build_here(60, progress=interrupt)
                break
            except KeyboardInterrupt:
                assert_same_tumours(build_here.store(), reference, len(build_here.store()))
                if build_here.store().manifest.campaigns:  # not where it was stopped before its first commit
                    assert_settled(only_campaign(build_here.store()), build_here.store())
        assert attempts > 2
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
        assert draws_of(store)[: len(reference)] == draws_of(reference)[: len(store)]
        goal = len(store) + 5
        build_here(goal, workers=2)
        assert len(build_here.store()) == goal
        build_here(goal, name="one-go")
        assert_same_tumours(build_here.store(), build_here.store("one-go"), goal)

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the state of processes from /proc")
    def test_a_killed_build_leaves_no_workers_and_goes_on_when_run_again(self, build_here, reference, atlas, snapshots):
        """SIGKILL gives the builder no chance to tidy up: neither its lock nor its workers may stay."""
        making = build_here.path("making.pickle")
        making.write_bytes(pickle.dumps((str(build_here.path()), SEED, atlas, PRIOR, snapshots)))
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
        assert draws_of(partial)[: len(reference)] == draws_of(reference)[: len(partial)]
        goal = max(len(reference), len(partial) + 3)
        build_here(goal)
        resumed = build_here.store()
        assert len(resumed) == goal
        assert_same_tumours(reference, resumed, len(reference))

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
path, seed, atlas, prior, snapshots = pickle.loads(Path(sys.argv[1]).read_bytes())

def name_workers(report):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

build(path, 100_000, seed, atlas, prior=prior, snapshots=snapshots, workers=2, progress=name_workers)
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
            {"snapshots": -1},
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

    def test_a_numpy_number_of_snapshots_works(self, build_here, reference):
        build_here(3, snapshots=np.int64(2))
        build_here(3, snapshots=2)
        assert len(build_here.store()) == 3
