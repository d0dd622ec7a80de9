"""Where a stage simulates in a store with mass effect."""

import dataclasses

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import DiceIndex
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.segmentation import Segmentation
from gliodex.retrieval.imaging.transforms import AffineMap
from gliodex.retrieval.refinement.anatomy import points_to_patient
from gliodex.retrieval.refinement.domain import pushing_doubts, site_of
from gliodex.simulate import MassEffect, MassEffectSettings, Prior, build
from gliodex.store import open_store

SETTINGS = MassEffectSettings(pushes=3)


@pytest.fixture(scope="module")
def store(small_atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("pushing") / "store"
    prior = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
    build(path, 4, 5, small_atlas, prior=prior, settings=SETTINGS, workers=1)
    return open_store(path)


@pytest.mark.parametrize("where", ["atlas", "patient"])
def test_its_model_is_that_of_the_store_and_its_pressure_that_of_the_best_match(store, where):
    core, whole = (store.density(2) >= np.float32(level) for level in (0.6, 0.2))
    hits = DiceIndex.open(store).search(core, whole, 3)
    patient = Patient(Segmentation(core, whole, store.frame), AffineMap(np.eye(4), {}))
    site = site_of(store, patient, where, hits=hits)
    assert isinstance(site.solver, MassEffect)
    assert site.solver.settings == SETTINGS
    assert site.mass_effect == store.parameters(2).mass_effect > 0
    (doubt,) = pushing_doubts(site)
    assert f"{site.mass_effect:,.0f} Pa" in doubt
    run = site.solver.grow(store.parameters(2) if where == "atlas" else _there(store, patient, site))
    assert run.full().shape == site.atlas.frame.shape


def _there(store, patient, site):
    seeds = points_to_patient(np.array([store.parameters(2).seed_mm]), store.frame, patient.spatial, site.atlas.frame)
    return dataclasses.replace(store.parameters(2), seed_mm=tuple(seeds[0]))


def test_where_no_match_has_a_known_mass_effect_none_is_assumed(store, monkeypatch):
    core, whole = (store.density(2) >= np.float32(level) for level in (0.6, 0.2))
    hits = DiceIndex.open(store).search(core, whole, 3)
    patient = Patient(Segmentation(core, whole, store.frame), AffineMap(np.eye(4), {}))
    known = type(store).known_parameters
    monkeypatch.setattr(type(store), "known_parameters", lambda self, n: None if n == hits.ids[0] else known(self, n))
    assert site_of(store, patient, "atlas", hits=hits).mass_effect == store.parameters(int(hits.ids[1])).mass_effect
    monkeypatch.setattr(type(store), "known_parameters", lambda self, n: None)
    with pytest.raises(InputError, match=r"none of the 3 best matches of .* has a known mass effect"):
        site_of(store, patient, "atlas", hits=hits)
