import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from gliodex.errors import InputError
from gliodex.retrieval.refinement.smc import sample
from gliodex.retrieval.refinement.smc_settings import Sampled, TransitionalSettings

SETTINGS = TransitionalSettings(samples=1024, steps=16, seed=4)


def log_normal(apart, deviation):
    """As `scipy.stats.norm.logpdf`, whose overhead would be most of what a toy costs."""
    return -0.5 * (apart / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))


class LinearGaussian:
    """y = A x + noise with a Gaussian prior: the posterior and the evidence are known in closed form.

    The first `simulated` numbers go through `simulate`, the others only through `log_likelihood`.
    """

    def __init__(self, observed, *, simulated=2, start=None, wide=2.0):
        self.names = "a", "b", "c"
        self.simulated = simulated
        self.matrix = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.4], [0.3, 0.0, 1.0], [1.0, 1.0, 1.0]])
        self.noise, self.wide = 0.2, wide
        self.observed = np.asarray(observed)
        self._start = start
        self.calls = 0

    def draw(self, number, rng):
        if self._start is not None:
            return np.asarray(self._start.rvs(number, random_state=rng))
        return self.wide * rng.standard_normal((number, 3))

    def log_start(self, points):
        return self.log_prior(points) if self._start is None else self._start.logpdf(points)

    def log_prior(self, points):
        return log_normal(points, self.wide).sum(axis=1)

    def simulate(self, points):
        self.calls += len(points)
        return list(points[:, : self.simulated] @ self.matrix[:, : self.simulated].T)

    def log_likelihood(self, points, outcomes):
        shown = np.array(outcomes) + points[:, self.simulated :] @ self.matrix[:, self.simulated :].T
        return log_normal(shown - self.observed, self.noise).sum(axis=1)

    def posterior(self):
        precision = np.eye(3) / self.wide**2 + self.matrix.T @ self.matrix / self.noise**2
        covariance = np.linalg.inv(precision)
        return covariance @ self.matrix.T @ self.observed / self.noise**2, covariance

    def log_evidence(self):
        covariance = self.noise**2 * np.eye(4) + self.wide**2 * self.matrix @ self.matrix.T
        return stats.multivariate_normal(np.zeros(4), covariance).logpdf(self.observed)


OBSERVED = [1.0, -0.7, 0.5, 0.9]
NEAR = stats.multivariate_t([0.5, 0.0, 0.5], 0.3 * np.eye(3), df=4)


@pytest.fixture(scope="module", params=["all", "some", "around"])
def solved(request):
    """The toy with every number simulated, with one that is not, and begun near the posterior instead of the prior."""
    problem = {
        "all": LinearGaussian(OBSERVED, simulated=3),
        "some": LinearGaussian(OBSERVED),
        "around": LinearGaussian(OBSERVED, start=NEAR),
    }[request.param]
    return problem, sample(problem, SETTINGS)


def test_the_analytic_posterior_is_found(solved):
    problem, found = solved
    mean, covariance = problem.posterior()
    deviation = np.sqrt(np.diag(covariance))
    error = deviation / np.sqrt(found.effective_samples)
    np.testing.assert_array_less(np.abs(found.points.mean(axis=0) - mean), 4 * error)
    np.testing.assert_allclose(np.cov(found.points.T), covariance, atol=0.25 * deviation.max() ** 2)
    # each number's distribution, thinned to what is independent
    for n in range(3):
        thinned = found.points[:: max(1, round(len(found.points) / found.effective_samples[n])), n]
        assert stats.kstest(thinned, stats.norm(mean[n], deviation[n]).cdf).pvalue > 0.001


def test_the_evidence_is_found_from_either_start(solved):
    problem, found = solved
    assert found.log_evidence == pytest.approx(problem.log_evidence(), abs=0.25)


def test_what_comes_back_says_how_it_went(solved):
    problem, found = solved
    assert found.points.shape == (1024, 3)
    assert found.evaluations == problem.calls == found.stages[-1].evaluations
    exponents = [stage.exponent for stage in found.stages]
    assert exponents == sorted(exponents)
    assert exponents[-2:] == [1.0, 1.0], "the last stage is walked twice"
    assert all(stage.effective_weights >= 0.49 * 1024 for stage in found.stages)
    assert all(0.05 < stage.acceptance < 0.7 for stage in found.stages)
    best = found.points[found.log_posterior.argmax()]
    np.testing.assert_allclose(best, problem.posterior()[0], atol=0.3)
    assert found.log_posterior.max() == pytest.approx(
        (problem.log_prior(best[None]) + problem.log_likelihood(best[None], problem.simulate(best[None]))).item()
    )


def test_a_start_near_the_posterior_needs_fewer_stages():
    far, near = (sample(LinearGaussian(OBSERVED, start=start, wide=30.0), SETTINGS) for start in (None, NEAR))
    assert near.evaluations < 0.7 * far.evaluations
    assert near.log_evidence == pytest.approx(far.log_evidence, abs=0.4)


def test_an_interrupted_run_goes_on_to_the_same_end():
    states = []
    whole = sample(LinearGaussian(OBSERVED), SETTINGS, save=states.append)
    for state in (states[0], states[-1]):
        resumed = sample(LinearGaussian(OBSERVED), SETTINGS, begun=state)
        np.testing.assert_array_equal(resumed.points, whole.points)
        assert resumed.log_evidence == whole.log_evidence
        assert resumed.stages == whole.stages
    assert states[-1].stages == whole.stages, "of a complete run nothing is done again"


def test_seeds_repeat_and_differ():
    first, again, other = (
        sample(LinearGaussian(OBSERVED), dataclasses.replace(SETTINGS, samples=128, seed=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.points, again.points)
    assert not np.array_equal(first.points, other.points)


class Ring:
    """Two bumps that a walk between them would have to leave: tempering must find both."""

    names, simulated = ("x", "y"), 2

    def draw(self, number, rng):
        return rng.uniform(-6, 6, (number, 2))

    def log_start(self, points):
        return self.log_prior(points)

    def log_prior(self, points):
        return np.where((np.abs(points) <= 6).all(axis=1), -2 * math.log(12), -np.inf)

    def simulate(self, points):
        assert (np.abs(points) <= 6).all(), "what the prior rules out is not simulated"
        return list(points)

    def log_likelihood(self, points, outcomes):
        bumps = [np.exp(log_normal(points - at, math.sqrt(0.05)).sum(axis=1)) for at in (-4.0, 4.0)]
        return np.log(0.3 * bumps[0] + 0.7 * bumps[1] + 1e-300)


def test_both_modes_are_found_with_their_weights():
    found = sample(Ring(), TransitionalSettings(samples=2048, steps=8, seed=1))
    assert (found.points[:, 0] > 0).mean() == pytest.approx(0.7, abs=0.12)
    assert found.log_evidence == pytest.approx(-2 * math.log(12), abs=0.3)


class Impossible(Ring):
    def log_likelihood(self, points, outcomes):
        return np.full(len(points), -np.inf)


def test_what_nothing_explains_is_an_error():
    with pytest.raises(InputError, match="nothing that the sampler began from explains"):
        sample(Impossible(), TransitionalSettings(samples=128, steps=8))


def test_a_budget_that_does_not_reach_the_posterior_is_an_error():
    settings = TransitionalSettings(samples=512, steps=8, evaluations=1600)
    with pytest.raises(InputError, match=r"1,600 simulations allowed were spent in stage \d+, at 0\.\d+ of the way"):
        sample(LinearGaussian(100 * np.array(OBSERVED)), settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 100}, "multiple of the steps"),
        ({"samples": 64}, "at least 8 walks"),
        ({"steps": 1}, "at least 2"),
        ({"seed": -1}, "must not be negative"),
        ({"evaluations": 5000}, "too few for stages of 2,048: allow at least 6,144"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        TransitionalSettings(**options)


def test_samples_know_their_walks():
    found = sample(LinearGaussian(OBSERVED), dataclasses.replace(SETTINGS, samples=128, steps=8))
    assert isinstance(found, Sampled)
    assert len(found.outcomes) == 128
    walks = found.points.reshape(16, 8, 3)
    steps = np.abs(np.diff(walks, axis=1)).sum(axis=(1, 2)).mean()
    across = np.abs(np.diff(walks, axis=0)).sum(axis=(0, 2)).mean()
    assert steps < across, "neighbours in a walk are nearer than neighbours in two walks"


@pytest.mark.slow
def test_simulation_based_calibration_of_the_toy():
    """Ranks of truths among posterior samples are uniform (Talts and others 2018)."""
    rng, ranks = np.random.default_rng(7), []
    settings = TransitionalSettings(samples=128, steps=8, seed=1)
    for run in range(60):
        problem = LinearGaussian(np.zeros(4))
        truth = problem.wide * rng.standard_normal(3)
        problem.observed = problem.matrix @ truth + problem.noise * rng.standard_normal(4)
        found = sample(problem, dataclasses.replace(settings, seed=run))
        ranks.append((found.points < truth).mean(axis=0))
    for numbers in np.array(ranks).T:
        assert stats.chisquare(np.histogram(numbers, bins=6, range=(0, 1))[0]).pvalue > 0.005
