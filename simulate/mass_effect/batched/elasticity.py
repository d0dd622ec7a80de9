"""Many elastic bodies of one shape, each with its own stiffness: `ElasticBody` for a batch.

Arrays are (tumour, ..., x, y, z) with a margin of one cell, on faces as in `elastic_stencil`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from ..elasticity import (
    COARSEST_SMOOTHING,
    KEPT_DIRECTIONS,
    MOST_ITERATIONS,
    OTHERS,
    SMOOTHING,
    Form,
    grids_of,
    smoothing_steps,
)
from .shifts import at, with_margin
from .transfers import eights, interpolate, restrict


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of the equations on one grid.

    Args:
        lame: lambda of cells.
        second: lambda + 2 mu of cells, or mu where the form is as published.
        edges: of the edges between two axes, see `elastic_stencil.edge_shear`.
        rate: one over the diagonal of the equations and over the largest eigenvalue then, (tumour, 3, x, y, z).
    """

    lame: Tensor
    second: Tensor
    edges: dict[tuple[int, int], Tensor]
    rate: Tensor


class ElasticBodies:
    """Bodies that are held at their border.

    Args:
        inside: cells of each body, (x, y, z).
        spacing: of the cells, mm.
        form: see `ElasticBody`.
        device: where to calculate.
    """

    def __init__(
        self, inside: NDArray[np.bool_], spacing: tuple[float, float, float], form: Form, device: torch.device
    ) -> None:
        grids = grids_of(inside)
        self._levels = [_Level(cells, tuple(2**n * h for h in spacing), form, device) for n, cells in enumerate(grids)]
        self._margins = [(1, more - n - 1) for n, more in zip(inside.shape, grids[0].shape, strict=True)]
        self._shape = inside.shape

    def yield_to(
        self, pressure: Tensor, lame: Tensor, shear: Tensor, start: Tensor, tolerance: float
    ) -> tuple[Tensor, Tensor]:
        """Find the displacements that balance pressures.

        Args:
            pressure: of the cells, (tumour, x, y, z), in the unit of the stiffness.
            lame: lambda, likewise.
            shear: mu, likewise.
            start: displacements to begin from, mm, (tumour, 3, x, y, z).
            tolerance: what may be left of the equations, over the force.

        Returns:
            The displacements, and which of them were found.
        """
        top = self._levels[0]
        wanted = -top.pushed_by(self._padded(pressure))
        scale = _norm(wanted)
        found = self._padded(start) * top.moves * _each(scale > 0)
        parts = self._coefficients(self._padded(lame), self._padded(shear))
        left = top.residual(parts[0], found) + wanted
        directions: list[tuple[Tensor, Tensor, Tensor]] = []
        for made in range(MOST_ITERATIONS + 1):
            missing = ~(_norm(left) <= tolerance * scale)  # what is no number is missing, too
            if made == MOST_ITERATIONS or not missing.any():
                break
            step = self._cycle(parts, 0, left)
            image = top.residual(parts[0], step)
            for one, image_of_one, square in directions:
                share = _each(_dot(image, image_of_one) / square)
                step, image = step - share * one, image - share * image_of_one
            square = _dot(image, image).clamp_min(_TINY)
            # what was found stays as it is, as if it were alone
            length = _each(torch.where(missing, -_dot(left, image) / square, 0.0))
            found, left = found + length * step, left + length * image
            directions = [*directions, (step, image, square)][1 - KEPT_DIRECTIONS :]
        x, y, z = (slice(1, n + 1) for n in self._shape)
        return found[..., x, y, z], ~missing & torch.isfinite(scale)

    def _coefficients(self, lame: Tensor, shear: Tensor) -> list[Coefficients]:
        parts = [self._levels[0].coefficients(lame, shear)]
        for fine, coarse in itertools.pairwise(self._levels):
            share = coarse.inside / eights(fine.inside).clamp_min(1)
            lame, shear = (eights(values * fine.inside) * share for values in (lame, shear))
            parts.append(coarse.coefficients(lame, shear))
        return parts

    def _cycle(self, parts: list[Coefficients], number: int, wanted: Tensor) -> Tensor:
        """Solve the equations of a level roughly, from rest."""
        level, rest = self._levels[number], torch.zeros_like(wanted)
        if number == len(self._levels) - 1:
            return level.smooth(parts[number], rest, wanted, COARSEST_SMOOTHING)
        found = level.smooth(parts[number], rest, wanted, SMOOTHING)
        left = level.residual(parts[number], found) + wanted
        correction = self._cycle(parts, number + 1, restrict(left) * self._levels[number + 1].moves)
        return level.smooth(parts[number], found + interpolate(correction) * level.moves, wanted, SMOOTHING)

    def _padded(self, values: Tensor) -> Tensor:
        return pad(values, [side for both in reversed(self._margins) for side in both])


class _Level:
    """One grid of a hierarchy."""

    def __init__(self, inside: NDArray[np.bool_], spacing: tuple[float, ...], form: Form, device: torch.device) -> None:
        free = np.stack([inside & np.roll(inside, -1, axis) for axis in range(3)])
        self.moves = torch.from_numpy(free.astype(np.float32)).to(device)
        self.inside = torch.from_numpy(inside.astype(np.float32)).to(device)
        self._over = tuple(1 / h for h in spacing)
        self._textbook = form == "textbook"
        self._edge_shares = {}
        for pair in _PAIRS:
            count = _of_four(self.inside, pair)
            self._edge_shares[pair] = torch.where(count == 4, 1.0, 2.0) / count.clamp_min(1)  # see `edge_shear`

    def coefficients(self, lame: Tensor, shear: Tensor) -> Coefficients:
        """Work out what follows from lambda and mu of the cells."""
        across = shear if self._textbook else torch.ones_like(shear)
        edges = {pair: _of_four(across * self.inside, pair) * share for pair, share in self._edge_shares.items()}
        second = lame + 2 * shear if self._textbook else shear
        inverses, bounds = zip(*(self._diagonal(lame, second, edges, axis) for axis in range(3)), strict=True)
        largest = torch.stack(bounds).amax(dim=0)
        return Coefficients(lame, second, edges, torch.stack(inverses, dim=1) / _each(largest))

    def residual(self, parts: Coefficients, displacement: Tensor) -> Tensor:
        """Left side of the equations, 0 at blocked faces."""
        found = (self._balance(parts, displacement, axis) for axis in range(3))
        return torch.stack([with_margin(one) for one in found], dim=1) * self.moves

    def smooth(self, parts: Coefficients, displacement: Tensor, wanted: Tensor, times: int) -> Tensor:
        """Take the short waves out of what a displacement is off."""
        step = torch.zeros_like(displacement)
        for keep, add in smoothing_steps(times):
            step = keep * step + add * parts.rate * (self.residual(parts, displacement) + wanted)
            displacement = displacement + step
        return displacement

    def pushed_by(self, pressure: Tensor) -> Tensor:
        """Gradient of a pressure on the faces that can move."""
        found = [(at(pressure, (axis, 1)) - at(pressure)) * self._over[axis] for axis in range(3)]
        return torch.stack([with_margin(one) for one in found], dim=1) * self.moves

    def _balance(self, parts: Coefficients, displacement: Tensor, axis: int) -> Tensor:
        """See `textbook_residual` and `published_residual`."""
        b, c = OTHERS[axis]
        own, ahead, ia = displacement[:, axis], (axis, 1), self._over[axis]
        here, onward, behind = at(own), at(own, ahead), at(own, (axis, -1))
        near, far = (here - behind) * ia, (onward - here) * ia
        beside_near = beside_far = sheared = torch.zeros_like(here)
        for n in (b, c):
            other, over, edge = displacement[:, n], self._over[n], parts.edges[_pair(axis, n)]
            beside_near = beside_near + (at(other) - at(other, (n, -1))) * over
            beside_far = beside_far + (at(other, ahead) - at(other, ahead, (n, -1))) * over
            up, down = (at(own, (n, 1)) - here) * over, (here - at(own, (n, -1))) * over
            if self._textbook:
                up = up + (at(other, ahead) - at(other)) * ia
                down = down + (at(other, ahead, (n, -1)) - at(other, (n, -1))) * ia
            sheared = sheared + (at(edge) * up - at(edge, (n, -1)) * down) * over
        lame, second = parts.lame, parts.second
        if self._textbook:
            inner = at(second) * near + at(lame) * beside_near
            outer = at(second, ahead) * far + at(lame, ahead) * beside_far
            return (outer - inner) * ia + sheared
        mu = (at(second) + at(second, ahead)) / 2
        both = (at(lame) + at(lame, ahead)) / 2 + mu
        divergence = far + beside_far - near - beside_near
        return both * ((far - near) * ia + sheared) + mu * divergence * ia

    def _diagonal(
        self, lame: Tensor, second: Tensor, edges: dict[tuple[int, int], Tensor], axis: int
    ) -> tuple[Tensor, Tensor]:
        """One over the diagonal of a component's equations, and a bound: see `textbook_diagonal`."""
        b, c = OTHERS[axis]
        ahead, ia, ib, ic = (axis, 1), self._over[axis], self._over[b], self._over[c]
        along_b, along_c = (at(edges[_pair(axis, n)]) + at(edges[_pair(axis, n)], (n, -1)) for n in (b, c))
        lames, seconds = (at(values) + at(values, ahead) for values in (lame, second))
        spread = along_b * ib**2 + along_c * ic**2
        if self._textbook:
            diagonal = seconds * ia**2 + spread
            across = 2 * ((lames + along_b) * ib + (lames + along_c) * ic) * ia
        else:
            mu = seconds / 2
            diagonal = (lames / 2 + mu) * (2 * ia**2 + spread) + 2 * mu * ia**2
            across = 4 * mu * ia * (ib + ic)
        free = at(self.moves[axis])
        inverse = free / torch.where(free > 0, diagonal, 1.0)
        return with_margin(inverse), (2 + across * inverse).flatten(1).amax(dim=1)


def _of_four(values: Tensor, pair: tuple[int, int]) -> Tensor:
    """Sum up the four cells at each edge between two axes; an edge touches its cell and the next along both."""
    for axis in pair:
        values = values + values.roll(-1, axis - 3)
    return values


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(dim=1)


def _norm(values: Tensor) -> Tensor:
    return _dot(values, values).sqrt()


def _each(values: Tensor) -> Tensor:
    """One number a tumour, for arrays of (tumour, 3, x, y, z)."""
    return values[:, None, None, None, None]


_PAIRS = ((0, 1), (0, 2), (1, 2))
_TINY = 1e-30
