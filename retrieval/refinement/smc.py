"""Transitional Markov chain Monte Carlo: from a distribution that is easy to draw from to a posterior, in stages.

Stage by stage the target goes from the start q to prior times likelihood, p L, as q^(1-β) (p L)^β, each β as far as the
weights of the samples allow (Ching and Chen 2007: their coefficient of variation is 1). Where one starts from the prior
this is the sampler of Ezhov et al. (2021); a start nearer to the posterior needs fewer stages and ends in the same
distribution.

Samples are then drawn by weight and moved by random walks in their own covariance. Of few long walks all steps are
kept (waste-free: Dau and Chopin 2022), which for the same number of simulations forgets the start better than many
walks of one step. Only some numbers are simulated: a step goes along these, the others follow by their regression on
them, and then walk by themselves, which costs almost nothing. Some steps are jumps to anywhere in a Student t like the
samples instead; in each stage as many as jumps got farther in the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import InputError
from .mcmc_kernels import Cloud, Walks
from .smc_settings import Numbers, Problem, Progress, Progressed, Sampled, TransitionalSettings


def sample(
    problem: Problem,
    settings: TransitionalSettings | None = None,
    *,
    begun: Progressed | None = None,
    save: Callable[[Progressed], None] | None = None,
    progress: Progress | None = None,
) -> Sampled:
    """Draw from a posterior; the same on any number of cores, and when it was interrupted.

    Args:
        problem: whose posterior.
        settings: see `TransitionalSettings`.
        begun: what `save` was given in an earlier run with the same problem and settings.
        save: given all that it takes to go on after each stage.
        progress: told how far it has come.

    Raises:
        InputError: the budget was spent before the posterior was reached, or the start has nothing that the
            likelihood allows.
    """
    settings = settings or TransitionalSettings()
    rng = np.random.default_rng(settings.seed)
    run = Walks(problem, settings, rng, progress)
    exponent, log_evidence = 0.0, 0.0
    if begun is None:
        cloud = run.cloud(problem.draw(settings.samples, rng))
    else:
        exponent, log_evidence = begun.exponent, begun.log_evidence
        run.scale, run.jumping = begun.scale, begun.jumping
        run.stages, run.evaluations = list(begun.stages), begun.stages[-1].evaluations
        rng.bit_generator.state = begun.generator
        cloud = Cloud.of(problem, begun.points)

    def keep() -> None:
        if save:
            state = _state(rng)
            save(Progressed(cloud.points, exponent, log_evidence, run.scale, run.jumping, state, tuple(run.stages)))

    while exponent < 1:
        raised = cloud.target(1.0) - cloud.start
        if not np.isfinite(raised).any():
            raise InputError("nothing that the sampler began from explains the images", hint="begin from the prior")
        step, weights, gain = _next_exponent(raised, 1 - exponent)
        exponent = 1.0 if step >= 1 - exponent else exponent + step
        log_evidence += gain
        cloud = run.move(cloud, weights, exponent)
        keep()
    if len([stage for stage in run.stages if stage.exponent == 1]) < 2:  # once more, so that the end forgets the way
        cloud = run.move(cloud, np.full(settings.samples, 1 / settings.samples), 1.0)
        keep()
    return Sampled(cloud.points, cloud.target(1.0), cloud.outcomes, log_evidence, tuple(run.stages), settings.steps)


def _state(rng: np.random.Generator) -> dict[str, Any]:
    return dict(rng.bit_generator.state)


def _next_exponent(raised: Numbers, most: float) -> tuple[float, Numbers, float]:
    """Largest step at which the weights' coefficient of variation is 1; with them, and the logarithm of their mean."""

    def weighed(step: float) -> tuple[Numbers, float]:
        logarithms = step * raised
        top = float(logarithms.max())
        weights = np.exp(logarithms - top)
        return weights / weights.sum(), top + math.log(float(weights.mean()))

    wanted = _EFFECTIVE * np.isfinite(raised).sum()
    low, high = 0.0, most
    if 1 / (weighed(most)[0] ** 2).sum() >= wanted:
        return most, *weighed(most)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (weighed(middle)[0] ** 2).sum() >= wanted else (low, middle)
    return high, *weighed(high)


_EFFECTIVE = 0.5  # of the samples: a coefficient of variation of 1
_BISECTIONS = 60
