"""The stages of a tumour's run as a list, for solvers that make them for many tumours at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..store.parameters import GrowthParameters
from .fisher_kolmogorov import Plan, growth_factor


@dataclass
class Stages:
    """Stages of one tumour, in order.

    Args:
        diffusion: D_w times the stage's part of its step, mm².
        growth: exp(rho times time) after the stage, 1 for none.
        limit: voxels of whole tumour to give up above after the stage; infinite where nobody looks.
        marks: stage after which the plan has a mark -> days since the seed, and by how many days of growth the density
            is ahead of it then.
        first_growth: exp(rho times half the first step).
        steps: time steps in all.
    """

    diffusion: list[float]
    growth: list[float]
    limit: list[float]
    marks: dict[int, tuple[float, float]]
    first_growth: float
    steps: int


def stages_of(plan: Plan, parameters: GrowthParameters) -> Stages:
    """List the stages of a plan."""
    first = float(growth_factor(parameters, plan.days[0] / 2))
    stages = Stages([], [], [], {}, first, len(plan.elapsed) - 1)
    since_look, step = 0, 0
    for phase, following in zip(plan.phases, plan.days[1:], strict=True):
        between = float(growth_factor(parameters, phase.days))
        ending = float(growth_factor(parameters, (phase.days + following) / 2))
        for number in range(1, phase.steps + 1):
            step += 1
            last = number == phase.steps
            weights = phase.scheme.weights.ravel()
            stages.diffusion += [float(parameters.diffusivity * phase.days * weight) for weight in weights]
            stages.growth += [1.0] * (len(weights) - 1) + [ending if last else between]
            since_look += len(weights)
            look = since_look >= _STAGES_BETWEEN_LOOKS
            stages.limit += [math.inf] * (len(weights) - 1) + [plan.limits[step] if look else math.inf]
            since_look = 0 if look else since_look
            if step in plan.marks:
                ahead_days = (following if last else phase.days) / 2
                stages.marks[len(stages.diffusion) - 1] = (float(plan.elapsed[step]), ahead_days)
    return stages


_STAGES_BETWEEN_LOOKS = 24
