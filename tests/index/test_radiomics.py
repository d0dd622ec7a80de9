import dataclasses
import math
import sys

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import open_retriever, prepare
from gliodex.index.radiomics import FEATURES, RADIOMICS, RadiomicsCandidates, describe
from gliodex.store import open_store
from gliodex.store.frame import Frame

from .brute_force import masks_of, population, queries
from .retriever_conformance import RetrieverTests

pytest.importorskip("radiomics", reason="pip install 'gliodex[radiomics]'")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Workers take seconds to start: one test of them is enough."""
    from concurrent.futures import ThreadPoolExecutor

    from gliodex.index import index_registry, radiomics

    here = dataclasses.replace(RADIOMICS, executor=ThreadPoolExecutor)
    monkeypatch.setattr(radiomics, "RADIOMICS", here)
    monkeypatch.setitem(index_registry._UNTRAINED, "radiomics", here)


class TestRawConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, "radiomics")

    def rebuild(self, store):
        prepare(store, "radiomics", rebuild=True)
        return self.open(store)


@pytest.mark.slow
class TestStandardisedConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, "radiomics-standardised")

    def rebuild(self, store):
        prepare(store, "radiomics", rebuild=True)
        return self.open(store)


def features(mask, frame):
    found = describe(mask, frame)
    return found[:3], dict(zip(FEATURES, found[3:], strict=True))


class TestDescribe:
    def test_a_large_ball_has_the_features_of_a_ball(self):
        frame = Frame((60, 60, 60), np.diag([-1.0, 1.0, 1.0, 1.0]))
        points = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
        centre, radius = np.array([-31.0, 28.0, 33.0]), 20.0
        where, found = features(((points - centre) ** 2).sum(-1) <= radius**2, frame)
        np.testing.assert_allclose(where, centre, atol=0.1)
        assert found["VoxelVolume"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
        assert found["MeshVolume"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.02)
        assert found["Maximum3DDiameter"] == pytest.approx(2 * radius, rel=0.05)
        assert found["Elongation"] == pytest.approx(1, rel=0.01)
        assert found["Flatness"] == pytest.approx(1, rel=0.01)
        assert found["MajorAxisLength"] == pytest.approx(4 * radius / math.sqrt(5), rel=0.02)
        assert 0.9 < found["Sphericity"] <= 1

    def test_each_axis_keeps_its_own_spacing_and_its_own_diameters(self):
        """A box of 40 x 20 x 6 mm: `Slice` is the plane across z, `Row` across x, `Column` across y."""
        frame = Frame((30, 30, 30), np.diag([2.0, 1.0, 0.5, 1.0]))
        mask = np.zeros(frame.shape, bool)
        mask[5:25, 5:25, 9:21] = True
        where, found = features(mask, frame)
        np.testing.assert_allclose(where, frame.world([14.5, 14.5, 14.5]))
        assert found["VoxelVolume"] == pytest.approx(40 * 20 * 6)
        assert found["Maximum2DDiameterSlice"] == pytest.approx(math.hypot(40, 20), rel=0.06)
        across_x, across_y = math.hypot(20, 6), math.hypot(40, 6)
        found_pair = sorted([found["Maximum2DDiameterRow"], found["Maximum2DDiameterColumn"]])
        np.testing.assert_allclose(found_pair, sorted([across_x, across_y]), rtol=0.06)
        assert found["MajorAxisLength"] == pytest.approx(4 * 40 / math.sqrt(12), rel=0.01)

    def test_where_it_lies_changes_the_centre_alone(self, make_atlas, ball):
        frame = make_atlas((40, 40, 40), spacing=2.0).frame
        mask = ball(frame, frame.world([12, 15, 14]), 15) >= 0.5
        moved = np.roll(mask, (7, 4, -3), axis=(0, 1, 2))
        (before, shape), (after, shape_then) = features(mask, frame), features(moved, frame)
        np.testing.assert_allclose(after - before, [14, 8, -6])
        assert shape == pytest.approx(shape_then, rel=1e-9)

    def test_an_empty_mask_has_no_centre_and_zeros(self, make_atlas):
        frame = make_atlas((10, 9, 8)).frame
        found = describe(np.zeros(frame.shape, bool), frame)
        assert np.isnan(found[:3]).all()
        assert not found[3:].any()

    @pytest.mark.parametrize("voxels", [[(0, 0, 0)], [(9, 8, 7)], [(0, 0, 0), (9, 8, 7)], [(3, 3, 3), (3, 3, 4)]])
    def test_a_few_voxels_have_finite_features(self, make_atlas, voxels):
        frame = make_atlas((10, 9, 8)).frame
        mask = np.zeros(frame.shape, bool)
        for voxel in voxels:
            mask[voxel] = True
        assert np.isfinite(describe(mask, frame)).all()


@pytest.fixture
def store(make_atlas, make_store, ball):
    atlas = make_atlas((20, 17, 11))
    return open_store(make_store(atlas, population(atlas.frame, ball, 14), population(atlas.frame, ball, 12, seed=5)))


def two_steps(store, core, whole, shortlist, spread):
    """By the words of the paper: ids of the tumours nearest by centre, then sorted by shape; and their distances.

    With a spread, the shape is the logarithms of three axes and the volume over it, and the centre over 8 mm.
    """
    query = [describe(mask, store.frame) for mask in (core, whole)]
    rows = []
    for tumour in store.ids.tolist():
        away = apart = 0.0
        for m, mask in enumerate(masks_of(store, tumour)):
            its, centres = describe(mask, store.frame), 0.0
            if mask.any() and (core, whole)[m].any():
                centres = math.dist(its[:3], query[m][:3])
            elif mask.any() or (core, whole)[m].any():
                centres = math.inf
            away += centres
            if spread is None:
                apart += math.dist(its[3:], query[m][3:])
            else:
                steps = [(math.log1p(its[n]) - math.log1p(query[m][n])) / spread[m][n] for n in LENGTHS_AND_VOLUME]
                apart += math.hypot(*steps, centres / 8)
        rows.append((away, tumour, apart))
    rows = sorted(rows)[:shortlist]
    return zip(*sorted((apart, tumour) for _, tumour, apart in rows), strict=True)


LENGTHS_AND_VOLUME = [3 + FEATURES.index(f"{name}AxisLength") for name in ("Least", "Minor", "Major")]
LENGTHS_AND_VOLUME.append(3 + FEATURES.index("VoxelVolume"))


@pytest.mark.parametrize("method", ["radiomics", "radiomics-standardised"])
@pytest.mark.parametrize("shortlist", [1000, 10])
def test_ranks_are_those_of_the_two_steps(store, method, shortlist, monkeypatch):
    monkeypatch.setattr("gliodex.index.radiomics.SHORTLIST", shortlist)
    spread = None
    if method != "radiomics":
        described = np.array([[describe(m, store.frame) for m in masks_of(store, t)] for t in store.ids.tolist()])
        spread = np.log1p(np.maximum(described, 0)).std(axis=0)
    retriever = open_retriever(store, method)
    for core, whole in queries(store):
        distances, ids = two_steps(store, core, whole, shortlist, spread)
        hits = retriever.search(core, whole, k=6)
        np.testing.assert_allclose(-hits.scores, distances[:6], rtol=1e-9, atol=1e-9)
        assert len(set(hits.ids.tolist()) & set(ids[:8])) >= 5, "equal to rounding"


def test_worker_processes_describe_what_this_one_does(store, monkeypatch):
    here = np.array(RadiomicsCandidates.open(store)._shapes)
    monkeypatch.setattr("gliodex.index.radiomics.RADIOMICS", RADIOMICS)
    RADIOMICS.refresh(store, rebuild=True)
    np.testing.assert_array_equal(RadiomicsCandidates.open(store)._shapes, here)


def test_without_pyradiomics_the_message_says_what_to_install(store, monkeypatch):
    from gliodex.index import radiomics

    radiomics.require_pyradiomics.cache_clear()
    monkeypatch.setitem(sys.modules, "radiomics", None)
    monkeypatch.setitem(sys.modules, "radiomics.shape", None)
    with pytest.raises(InputError, match=r"pip install 'gliodex\[radiomics\]'"):
        describe(np.ones(store.frame.shape, bool), store.frame)
    radiomics.require_pyradiomics.cache_clear()
