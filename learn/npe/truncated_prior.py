"""Parts of a prior in which a posterior lies: boxes that a round of simulations is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """Part of a prior: a box along the axes in which a posterior is spread, (d,) each.

    Args:
        centre: of the points that it was made around.
        axes: its directions as columns, (d, d).
        low, high: its ends along them.
    """

    centre: Numbers
    axes: Numbers
    low: Numbers
    high: Numbers

    @classmethod
    def whole(cls, low: Numbers, high: Numbers) -> Region:
        """All of a prior."""
        centre = (low + high) / 2
        return cls(centre, np.eye(len(low)), low - centre, high - centre)

    @classmethod
    def around(cls, points: Numbers, unit: Numbers) -> Region:
        """Box that holds nearly all points, with a margin.

        Args:
            points: draws of a posterior, (n, d).
            unit: by which numbers are comparable, (d,).
        """
        centre = points.mean(axis=0)
        _, directions = np.linalg.eigh(np.cov((points / unit).T) + np.diag(np.full(len(unit), 1e-12)))
        axes = unit[:, None] * directions
        along = np.linalg.solve(axes, (points - centre).T).T
        low, high = np.quantile(along, [_TAIL, 1 - _TAIL], axis=0)
        margin = _MARGIN * np.maximum(high - low, 1e-9)
        return cls(centre, axes, low - margin, high + margin)

    @property
    def volume(self) -> float:
        """Volume, beyond the prior's ends too."""
        return float(np.prod(self.high - self.low) * abs(np.linalg.det(self.axes)))

    def holds(self, points: Numbers) -> NDArray[np.bool_]:
        """Which points lie in it."""
        along = np.linalg.solve(self.axes, (points - self.centre).T).T
        return np.asarray(((along >= self.low) & (along <= self.high)).all(axis=1))

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points uniformly."""
        return np.asarray(self.centre + rng.uniform(self.low, self.high, (number, len(self.low))) @ self.axes.T)


_TAIL, _MARGIN = 5e-4, 0.1  # of the draws, and of the box's sides
