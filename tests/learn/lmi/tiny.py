"""A network small enough to be trained by a test, and a store that it is trained for."""

from dataclasses import replace

from gliodex.learn.lmi import SMALL_GROWTH, GrowthSettings, Targets, train_growth
from gliodex.simulate import build
from gliodex.store import open_store

TINY = replace(SMALL_GROWTH, cells=8, width=8, neck=4, hidden=48, depth=1, batch=16, epochs=3, rate=3e-3, patience=500)


def settings(targets="mu+seed", scale="log", *, tumours=40, seed=0, epochs=None, **design):
    return GrowthSettings(replace(TINY, **design), Targets(targets, scale), seed, tumours, epochs)


def trained_store(path, atlas, model=None, tumours=240):
    """Build a store, and train a network with all but a few of its tumours."""
    build(path, tumours, 5, atlas, settings=model, workers=1)
    store = open_store(path)
    train_growth(store, settings(tumours=tumours * 5 // 6, epochs=12, rate=5e-3))
    return store
