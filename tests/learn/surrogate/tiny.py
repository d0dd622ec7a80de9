"""A network small enough to be trained by a test, and stores of two anatomies that it learns from."""

from dataclasses import replace

from gliodex.learn.surrogate import SMALL_SURROGATE, SurrogateSettings
from gliodex.simulate import PRIORS, build
from gliodex.store import open_store

TINY = replace(SMALL_SURROGATE, crop=16, widths=(8, 12), batch=4, epochs=3, rate=3e-3, patience=500)


def settings(*, tumours=12, seed=0, epochs=None, **design):
    return SurrogateSettings(replace(TINY, **design), seed, tumours, epochs)


def anatomy_stores(folder, make_atlas, count=40):
    """Stores of tumours in a round brain and in a long one, and in a third that nothing learns from."""
    stores = []
    for n, shape in enumerate([(32, 32, 32), (36, 28, 32), (28, 34, 34)]):
        path = folder / f"anatomy-{n}"
        build(path, count, 10 + n, make_atlas(shape, name=f"brain-{n}"), prior=PRIORS["ezhov2021"], workers=1)
        stores.append(open_store(path))
    return stores
