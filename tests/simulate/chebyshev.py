"""Runge-Kutta-Chebyshev as the literature writes it, to hold the solver's factored form against.

The recurrence of van der Houwen & Sommeijer (1980), second order, in five arrays; Chebyshev polynomials and their
derivatives come from numpy's series, not from closed forms.
"""

import math

import numpy as np
from numpy.polynomial import Chebyshev

DAMPING = 2 / 13


def classical_step(u, days, rate, stages):
    """Return `u` after one step of `days` of du/dt = rate(u)."""
    w0 = 1 + DAMPING / stages**2
    series = [Chebyshev.basis(j) for j in range(stages + 1)]
    t, t1, t2 = (np.array([float(s.deriv(n)(w0)) for s in series]) for n in range(3))
    w1 = t1[-1] / t2[-1]
    b = np.ones(stages + 1)
    b[2:] = t2[2:] / t1[2:] ** 2
    b[:2] = b[2]
    a = 1 - b * t
    first = rate(u)
    before, last = u, u + b[1] * w1 * days * first
    for j in range(2, stages + 1):
        mu, nu, of_step = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
        new = (1 - mu - nu) * u + mu * last + nu * before + of_step * days * (rate(last) - a[j - 1] * first)
        before, last = last, new
    return last


def solve(start, phases, rate, proliferation):
    """Diffusion by classical steps of a run's phases, exact logistic growth around them, Strang-split."""

    def grown(u, days):
        g = math.exp(proliferation * days)
        return u * g / (1 + u * (g - 1))

    u = start
    for phase in phases:
        for _ in range(phase.steps):
            u = grown(classical_step(grown(u, phase.days / 2), phase.days, rate, phase.scheme.stages), phase.days / 2)
    return u
