import numpy as np

from gliodex.retrieval.refinement.diagnostics import effective_samples, r_hat


def test_effective_samples_of_independent_and_of_sticky_walks():
    rng = np.random.default_rng(1)
    independent = rng.standard_normal((200, 32, 2))
    np.testing.assert_allclose(effective_samples(independent), 6400, rtol=0.15)
    sticky = np.zeros((400, 64, 1))
    state = rng.standard_normal(400)
    for step in range(64):
        state = 0.8 * state + 0.6 * rng.standard_normal(400)
        sticky[:, step, 0] = state
    # an autoregression remembers (1 + 0.8) / (1 - 0.8) = 9 steps
    np.testing.assert_allclose(effective_samples(sticky), 400 * 64 / 9, rtol=0.2)
    constant = np.repeat(rng.standard_normal((50, 1, 1)), 8, axis=1)
    assert effective_samples(constant)[0] < 60


def test_r_hat_is_one_for_equal_repeats_and_more_for_others():
    rng = np.random.default_rng(2)
    equal = [rng.standard_normal((1000, 2)) for _ in range(3)]
    np.testing.assert_allclose(r_hat(equal), 1, atol=0.01)
    assert r_hat([equal[0], equal[1] + 1])[0] > 1.2
