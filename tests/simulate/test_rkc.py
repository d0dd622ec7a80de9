"""The factored scheme held against the classical recurrence, and the schedule against what it promises."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gliodex.simulate.rkc import schedule, scheme

from .chebyshev import classical_step

STAGES = (2, 4, 6, 8)
SHARE_OF_AGE = 0.25


def factors(made, z):
    """Values of the scheme's quadratic factors at `z`, (s/2, ...), its weights taken as they are."""
    weights = made.weights.astype(np.float64)
    return np.array([1 + whole * z * (1 + half * z) for half, whole in weights])


def stable_stretch(made, count=20_001):
    return np.linspace(-2 * made.reach, 0, count)


def factored_step(u, days, rate, made):
    """The two-array form: each factor is v = u + h dt f(u), then u + w dt f(v)."""
    for half, whole in made.weights:
        u = u + whole * days * rate(u + half * days * rate(u))
    return u


def random_graph(size, seed):
    """Diffusion between cells that are coupled at random: symmetric, sums preserved, eigenvalues from -1 to 0."""
    rng = np.random.default_rng(seed)
    coupled = np.triu(rng.random((size, size)) * (rng.random((size, size)) < 0.4), 1)
    matrix = coupled + coupled.T
    matrix -= np.diag(matrix.sum(0))
    return matrix / np.abs(np.linalg.eigvalsh(matrix)).max()


class TestScheme:
    @pytest.mark.parametrize("stages", STAGES)
    def test_weights_are_what_the_compiled_loop_takes(self, stages):
        made = scheme(stages)
        assert made.weights.dtype == np.float32
        assert made.weights.shape == (stages // 2, 2)
        assert (made.weights > 0).all()
        assert made.stages == stages
        assert made is scheme(stages)

    @pytest.mark.parametrize("stages", STAGES)
    def test_it_is_the_classical_recurrence_for_every_eigenvalue(self, stages):
        """To the rounding of float32 weights, which the factors amplify on the way."""
        made = scheme(stages)
        z = stable_stretch(made)
        classical = classical_step(np.ones_like(z), 1.0, lambda u: z * u, stages)
        np.testing.assert_allclose(factors(made, z).prod(0), classical, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("stages", STAGES)
    @pytest.mark.parametrize("part_of_reach", [1.0, 0.6, 0.05])
    def test_it_is_the_classical_recurrence_on_a_diffusion_matrix(self, stages, part_of_reach):
        made, matrix = scheme(stages), random_graph(24, stages)
        days = 2 * made.reach * part_of_reach  # the largest eigenvalue is 1, an explicit step may take 2
        u = np.random.default_rng(1).random((24, 3))

        def rate(v):
            return matrix @ v

        found, expected = factored_step(u, days, rate, made), classical_step(u, days, rate, stages)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(found.sum(0), u.sum(0), rtol=1e-12)
        assert np.abs(expected - u).max() > 0.02

    @pytest.mark.parametrize("stages", STAGES)
    def test_it_never_amplifies_inside_its_reach_and_does_soon_beyond(self, stages):
        made = scheme(stages)
        within = np.abs(factors(made, stable_stretch(made)).prod(0))
        assert within.max() <= 1 + 1e-7
        assert within[:-400].max() < 0.97  # damped, not merely bounded
        assert abs(factors(made, np.array(-2.1 * made.reach)).prod()) > 1

    @pytest.mark.parametrize("stages", STAGES)
    def test_reach_grows_with_the_square_of_the_stages(self, stages):
        """2/3 (s² - 1)(1 - 2/15 eps) is the stable stretch that Sommeijer et al. (1997) give; 2 is that of Euler."""
        reach = scheme(stages).reach
        assert reach == pytest.approx((stages**2 - 1) / 3 * (1 - 2 / 15 * 2 / 13), rel=0.01)
        assert 0.24 < reach / stages**2 < 0.33
        if stages > 4:
            assert reach / stages**2 == pytest.approx(0.32, abs=0.005)

    @pytest.mark.parametrize("stages", STAGES)
    def test_it_is_of_second_order(self, stages):
        """P(z) - exp(z) is c z³: the first two moments fit, and halving z leaves an eighth."""
        made = scheme(stages)
        alpha = made.weights[:, 1].astype(np.float64)
        beta = made.weights.astype(np.float64).prod(1)
        assert alpha.sum() == pytest.approx(1, abs=2e-7)
        pairs = sum(a * b for a, b in itertools.combinations(alpha, 2))
        assert beta.sum() + pairs == pytest.approx(0.5, abs=2e-7)
        z = -np.array([0.2, 0.1, 0.05])
        error = np.abs(factors(made, z).prod(0) - np.exp(z))
        assert (error < 0.17 * np.abs(z) ** 3).all()
        np.testing.assert_allclose(error[:-1] / error[1:], 8, rtol=0.05)

    @pytest.mark.parametrize("stages", STAGES)
    def test_factors_stand_in_the_order_that_grows_least_on_the_way(self, stages):
        """What rounding adds between two factors is as large as those before have made it, and those after grow it."""
        made = scheme(stages)
        values = factors(made, stable_stretch(made, 2001))

        def worst(order):
            ordered = values[list(order)]
            before, after = np.cumprod(ordered, axis=0), np.cumprod(ordered[::-1], axis=0)
            return max(np.abs(before).max(), np.abs(after[:-1]).max(initial=1))

        orders = list(itertools.permutations(range(stages // 2)))
        assert worst(orders[0]) <= 1.02 * min(map(worst, orders))

    @pytest.mark.parametrize("stages", STAGES)
    def test_a_step_in_float32_rounds_little(self, stages):
        """White noise and the longest step are the worst there is: 2e-5 with eight stages."""
        made, matrix = scheme(stages), random_graph(60, 9).astype(np.float32)
        u = np.random.default_rng(2).random((60, 50), dtype=np.float32)
        days = np.float32(2 * made.reach)
        found = factored_step(u, days, lambda v: matrix @ v, made)
        assert found.dtype == np.float32
        exact = factored_step(u.astype(np.float64), float(days), lambda v: matrix.astype(np.float64) @ v, made)
        np.testing.assert_allclose(found, exact, atol=5e-5, rtol=0)


def longest(phase, explicit_days, longest_days):
    return min(phase.scheme.reach * explicit_days, longest_days)


def stage_count(phases):
    return sum(phase.steps * phase.scheme.stages for phase in phases)


DAYS = st.floats(1e-9, 1e6)


class TestSchedule:
    @settings(max_examples=400, deadline=None)
    @given(
        duration=st.one_of(st.just(0.0), st.floats(1e-6, 2000), DAYS),
        explicit_days=st.one_of(st.floats(0.05, 500), DAYS, st.floats(1e6, 1e300), st.just(math.inf)),
        longest_days=st.one_of(st.floats(0.5, 500), DAYS, st.just(math.inf)),
        seed_age_days=st.one_of(st.floats(0.5, 500), DAYS, st.just(0.0), st.floats(1e6, 1e300)),
    )
    @example(duration=300.0, explicit_days=2.0, longest_days=math.inf, seed_age_days=15.0)
    @example(duration=1500.0, explicit_days=31.0, longest_days=3.0, seed_age_days=150.0)
    @example(duration=0.0, explicit_days=1.0, longest_days=1.0, seed_age_days=0.0)
    def test_a_run_is_divided_within_all_limits(self, duration, explicit_days, longest_days, seed_age_days):
        assume(duration / min(explicit_days, longest_days) < 1e7)
        phases = schedule(duration, explicit_days, longest_days, seed_age_days)
        assert sum(phase.steps * phase.days for phase in phases) == pytest.approx(duration, rel=1e-12)
        assert bool(phases) == (duration > 0)
        elapsed = 0.0
        for phase in phases:
            assert isinstance(phase.steps, int)
            assert phase.steps >= 1
            assert phase.days > 0
            assert phase.days <= longest(phase, explicit_days, longest_days) * (1 + 1e-12)
            if phase.scheme.stages > 2:
                assert phase.days <= SHARE_OF_AGE * (seed_age_days + elapsed) * (1 + 1e-9)
            elapsed += phase.steps * phase.days
        stages = [phase.scheme.stages for phase in phases]
        assert stages == sorted(set(stages))
        assert set(stages) <= set(STAGES)
        # only what the end cuts short has shorter steps; a crumb that rounding leaves is looked at below
        whole = [phase for phase in phases if phase.days > 1e-9 * duration]
        for phase in whole[:-1]:
            assert phase.days == pytest.approx(longest(phase, explicit_days, longest_days), rel=1e-9)

    @settings(max_examples=200, deadline=None)
    @given(duration=st.floats(1.0, 2000), explicit_days=st.floats(0.05, 50), longest_days=st.floats(0.5, 500), age=DAYS)
    def test_it_costs_no_more_than_the_shortest_steps_alone_and_no_less_than_the_best(
        self, duration, explicit_days, longest_days, age
    ):
        phases = schedule(duration, explicit_days, longest_days, age)
        cheapest = min(s / min(scheme(s).reach * explicit_days, longest_days) for s in STAGES)
        dearest = 2 / min(scheme(2).reach * explicit_days, longest_days)
        assert duration * cheapest * (1 - 1e-9) <= stage_count(phases)
        assert stage_count(phases) <= duration * max(cheapest, dearest) + sum(STAGES)

    def test_without_a_limit_by_growth_it_ends_with_most_stages(self):
        phases = schedule(1000.0, 1.0, math.inf, 10.0)
        assert [phase.scheme.stages for phase in phases] == list(STAGES)
        begins = np.cumsum([0.0] + [phase.steps * phase.days for phase in phases])
        for begin, phase in zip(begins[1:-1], phases[1:], strict=True):
            could_begin = phase.days / SHARE_OF_AGE - 10.0
            assert could_begin - 0.1 <= begin < could_begin + phase.days

    def test_growth_that_allows_no_longer_steps_takes_fewest_stages(self):
        """Where eight stages would carry no farther than two, two are enough."""
        phases = schedule(1000.0, 10.0, 5.0, 10.0)
        assert [(phase.scheme.stages, phase.steps) for phase in phases] == [(2, 200)]

    def test_an_old_seed_starts_with_the_longest_steps(self):
        phases = schedule(1000.0, 1.0, math.inf, 1e9)
        assert [(phase.scheme.stages, phase.steps) for phase in phases] == [(8, math.ceil(1000 / scheme(8).reach))]

    @pytest.mark.parametrize(
        "run",
        [
            (439.44552913247475, 14.324456091737918, 232.6128769532924, 129.25177803360836),
            (121.32260485423943, 8.028473691800299, 75.21391568051222, 107.1232535898471),
            (28.392096064004296, 0.8352233395109401, 126.18545333039047, 8.266894740246483),
            (496.34494751660503, 11.685119220170398, 215.46279106871498, 1.296394151446592),
        ],
    )
    def test_rounding_leaves_no_crumb_for_a_step_of_its_own(self, run):
        assert schedule(*run)[-1].days > 1e-6

    def test_no_time_takes_no_step(self):
        assert schedule(0.0, 1.0, 1.0, 1.0) == []
