"""Long time steps of diffusion from a few explicit stages, second order in time and stable.

Runge-Kutta-Chebyshev (van der Houwen & Sommeijer 1980; Verwer, Hundsdorfer & Sommeijer 1990): of all polynomials of
degree s that agree with exp(z) to second order, P(z) = a + b T_s(w0 + w1 z) stays within [-1, 1] over nearly the
longest stretch of the negative axis, so s stages carry a step 0.32 s² times as long as explicit Euler allows. The usual
recurrence needs five arrays. All roots of P are complex for even s, so it is also a product of real quadratic factors

    1 + alpha z + beta z²:    v = u + (beta / alpha) z u,    u <- u + alpha z v,

and each is two stages that live in two arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_DAMPING = 2 / 13  # keeps |P| below 1 inside the stable stretch
_PAIR_ORDER = {2: (0,), 4: (0, 1), 6: (0, 2, 1), 8: (1, 3, 0, 2)}
"""Order of the factors in which rounding errors grow about least, 133-fold at the most, before others damp them."""

_DECIMALS = 12  # kept of coefficients: hyperbolic functions differ by the last bits between processors

_SHARE_OF_AGE = 0.25
"""A step may be as long as this share of the time in which a point would have spread to the tumour's present width:
longer ones blur the seed wrongly, which a slowly growing tumour never forgets."""


@dataclass(frozen=True)
class Scheme:
    """How a step of diffusion is made.

    Args:
        reach: length of its longest stable step, in longest stable explicit steps.
        weights: float32 (s/2, 2), parts of the step that the two stages of each factor apply the operator with.
    """

    reach: float
    weights: NDArray[np.float32]

    @property
    def stages(self) -> int:
        """Applications of the operator."""
        return int(self.weights.size)


@dataclass(frozen=True)
class Phase:
    """Equal steps of a run.

    Args:
        steps: how many.
        days: of each.
        scheme: that diffusion is stepped with.
    """

    steps: int
    days: float
    scheme: Scheme


@cache
def scheme(stages: int) -> Scheme:
    """Return the scheme of 2, 4, 6 or 8 stages."""
    w0 = 1 + _DAMPING / stages**2
    v = math.acosh(w0)
    t = math.cosh(stages * v)
    t1 = stages * math.sinh(stages * v) / math.sinh(v)
    t2 = (stages**2 * t - t1 * math.cosh(v)) / math.sinh(v) ** 2
    w1, b = t1 / t2, t2 / t1**2
    a = 1 - b * t
    factors = []
    for k in range(stages // 2):
        x = np.cos((math.pi * (2 * k + 1) + 1j * math.acosh(a / b)) / stages)  # T_s(x) = -a/b
        z = (x - w0) / w1
        alpha, beta = -2 * z.real / abs(z) ** 2, 1 / abs(z) ** 2
        factors.append((round(beta / alpha, _DECIMALS), round(alpha, _DECIMALS)))
    ordered = [factors[k] for k in _PAIR_ORDER[stages]]
    return Scheme(round((w0 + 1) / w1 / 2, _DECIMALS), np.array(ordered, np.float32))


def schedule(duration: float, explicit_days: float, longest_days: float, seed_age_days: float) -> list[Phase]:
    """Divide a run into phases of ever longer steps.

    Args:
        duration: of the run, days.
        explicit_days: longest stable step of explicit Euler.
        longest_days: that a step may be, for the sake of growth.
        seed_age_days: time in which a point would spread as wide as the seed is planted.
    """
    schemes = [scheme(stages) for stages in _PAIR_ORDER]
    days = [min(s.reach * explicit_days, longest_days) for s in schemes]
    best = min(range(len(days)), key=lambda n: schemes[n].stages / days[n])
    phases, elapsed = [], 0.0
    for n in range(best + 1):
        begins_next = days[n + 1] / _SHARE_OF_AGE - seed_age_days if n < best else math.inf
        until = min(duration, begins_next)
        if until - elapsed > 1e-9 * duration:
            steps = max(1, math.ceil((until - elapsed) / days[n]))
            taken = min(steps * days[n], duration - elapsed)
            phases.append(Phase(steps, taken / steps, schemes[n]))
            elapsed += taken
    return phases
