import numpy as np

from gliodex.index import best_thresholds

from .brute_force import dice


def test_best_thresholds_are_the_best_of_all():
    rng = np.random.default_rng(3)
    density = rng.random((9, 8, 7), dtype=np.float32)
    core, whole = density + 0.3 * rng.random(density.shape) > 0.9, density + 0.3 * rng.random(density.shape) > 0.4
    found = best_thresholds(density, core, whole, {"core": 0.6, "whole": 0.2})
    for name, mask, (lowest, highest) in (("core", core, (0.5, 0.85)), ("whole", whole, (0.05, 0.5))):
        others = np.arange(np.ceil(lowest * 4095), np.ceil(highest * 4095) + 1) / 4095
        best = max(dice(mask, density >= np.float32(t)) for t in others)
        assert found[name] in others
        assert dice(mask, density >= np.float32(found[name])) == best
    nothing = np.zeros(density.shape, bool)
    kept = best_thresholds(density, nothing, nothing, {"core": 0.6, "whole": 0.2})
    assert kept == {"core": 2457 / 4095, "whole": 819 / 4095}
