"""How a body yields to a pressure inside it: linear elasticity, solved by multigrid.

    div(lambda div(u) I + mu (grad u + grad u^T)) = grad p,    u = 0 on the border   (Ezhov et al. 2023, Eqs. 5 and 9)

with p = gamma c, a pressure of the tumour; its term is printed without the trace's identity, and coded with lambda and
mu interchanged and their gradients left out: `as_published` does that. Finite differences of second order on faces,
see `elastic_stencil`; iterations are those of a generalised conjugate residual method (Eisenstat et al. 1983) with a
V-cycle as preconditioner, whose smoother is a Chebyshev polynomial (Adams et al. 2003).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, UnsolvedError
from .elastic_stencil import (
    Cells,
    edge_shear,
    inner_product,
    published_diagonal,
    published_residual,
    relax,
    rows_of,
    textbook_diagonal,
    textbook_residual,
)
from .transfers import coarsen_cells, interpolate, restrict

Form = Literal["textbook", "as_published"]
FORMS = ("textbook", "as_published")

Faces = NDArray[np.float32]
"""A displacement or a force on faces, (3, x, y, z): component a at (i, j, k) is on the face between that cell and the
next along axis a."""


@dataclass(frozen=True, eq=False)
class Yielding:
    """What a solve gave.

    Args:
        displacement: mm, on the faces of the cells.
        iterations: made.
        residual: norm of what is left of the equations over that of the force.
    """

    displacement: Faces
    iterations: int
    residual: float


class ElasticBody:
    """A body that is held at its border; ask it again and again as its stiffness and the pressure change.

    Args:
        inside: cells of the body, (x, y, z).
        spacing: of the cells, mm.
        form: "textbook", or "as_published".
    """

    def __init__(self, inside: NDArray[np.bool_], spacing: tuple[float, float, float], form: Form = "textbook") -> None:
        if form not in FORMS:
            raise InputError(f"the form of elasticity must be {' or '.join(FORMS)}, not {form!r}")
        self._within = tuple(slice(1, n + 1) for n in inside.shape)
        grids = grids_of(inside)
        self._levels = [_Level(cells, 2**n * np.array(spacing), form) for n, cells in enumerate(grids)]
        self._directions = np.zeros((2, KEPT_DIRECTIONS, 3, *grids[0].shape), np.float32)

    def stiffen(self, lame: Cells, shear: Cells) -> None:
        """Set lambda and mu of the cells, in the unit of the pressure.

        Raises:
            InputError: where the body is, one is not finite, or not above 0.
        """
        top = self._levels[0]
        inside = top.inside[self._within]
        for name, values in (("lambda", lame), ("mu", shear)):
            if not (np.isfinite(values[inside]).all() and values[inside].min(initial=1) > 0):
                raise InputError(f"{name} must be finite and above 0 everywhere in an elastic body")
        top.lame[self._within], top.shear[self._within] = (np.where(inside, values, 0) for values in (lame, shear))
        top.prepare()
        for fine, coarse in itertools.pairwise(self._levels):
            for a, b in ((fine.lame, coarse.lame), (fine.shear, coarse.shear)):
                coarsen_cells(a, fine.inside, coarse.inside, b)
            coarse.prepare()

    def yield_to(self, pressure: Cells, start: Faces | None = None, tolerance: float = 1e-3) -> Yielding:
        """Find the displacement that balances a pressure.

        Args:
            pressure: of the cells, in the unit of the stiffness.
            start: displacement to begin from, mm.
            tolerance: what may be left of the equations, over the force.

        Raises:
            UnsolvedError: it does not converge, or the pressure is not finite.
        """
        if not np.isfinite(pressure).all():
            raise UnsolvedError("the elastic equations have no solution: the pressure is not finite")
        top = self._levels[0]
        padded = np.zeros(top.inside.shape, np.float32)
        padded[self._within] = pressure
        force = top.pushed_by(padded)
        return self.balance(force[(slice(None), *self._within)], start, tolerance)

    def balance(self, force: Faces, start: Faces | None = None, tolerance: float = 1e-3) -> Yielding:
        """Find the displacement for a right side of the equations given on the faces.

        Args:
            force: right side, such as the gradient of a pressure, in the unit of the stiffness over mm.
            start: see `yield_to`.
            tolerance: likewise.

        Raises:
            UnsolvedError: it does not converge.
        """
        top, inner = self._levels[0], (slice(None), *self._within)
        wanted, found = np.zeros_like(top.moves), np.zeros_like(top.moves)
        wanted[inner] = -force
        wanted *= top.moves
        scale = _norm(wanted)
        if scale == 0:
            return Yielding(found[inner].copy(), 0, 0.0)
        if start is not None:
            found[inner] = start
            found *= top.moves
        left = top.residual(found, wanted).copy()
        squares = np.zeros(KEPT_DIRECTIONS)
        for made in range(MOST_ITERATIONS):
            remaining = _norm(left) / scale
            if remaining <= tolerance:
                return Yielding(found[inner].copy(), made, remaining)
            slot = made % KEPT_DIRECTIONS
            step, image = self._directions[:, slot]
            step[...] = self._cycle(0, left)
            image[...] = top.residual(step, None)
            for other in range(min(made, KEPT_DIRECTIONS)):
                if other != slot:
                    share = np.float32(_product(image, self._directions[1, other]) / squares[other])
                    step -= share * self._directions[0, other]
                    image -= share * self._directions[1, other]
            squares[slot] = _product(image, image)
            length = np.float32(-_product(left, image) / squares[slot])
            found += length * step
            left += length * image
        raise UnsolvedError(
            f"the elastic equations did not converge: {remaining:.1e} of the force is left after {MOST_ITERATIONS} "
            "iterations",
            hint="choose another tumour, or stiffnesses that are less far apart",
        )

    def force_of(self, displacement: Faces) -> Faces:
        """Tell the left side of the equations for a displacement, see `balance`; 0 on blocked faces."""
        top, inner = self._levels[0], (slice(None), *self._within)
        found = np.zeros_like(top.moves)
        found[inner] = displacement
        return np.asarray(top.residual(found, None)[inner])

    def _cycle(self, number: int, wanted: Faces) -> Faces:
        """Solve the equations of a level roughly, from rest; the result is overwritten by the next call."""
        level = self._levels[number]
        level.displacement[...] = 0
        if number == len(self._levels) - 1:
            level.smooth(wanted, COARSEST_SMOOTHING)
            return level.displacement
        level.smooth(wanted, SMOOTHING)
        coarse = self._levels[number + 1]
        left = level.residual(level.displacement, wanted)
        for axis in range(3):
            restrict(left[axis], axis, coarse.free[axis], coarse.wanted[axis])
        correction = self._cycle(number + 1, coarse.wanted)
        for axis in range(3):
            interpolate(correction[axis], axis, level.free[axis], level.displacement[axis], True)
        level.smooth(wanted, SMOOTHING)
        return level.displacement


class _Level:
    """One grid of a hierarchy."""

    def __init__(self, inside: NDArray[np.bool_], spacing: NDArray[np.float64], form: Form) -> None:
        self.inside, self.spacing = inside, spacing
        self.free = np.stack([inside & np.roll(inside, -1, axis) for axis in range(3)])  # the margin is blocked
        self.moves = self.free.astype(np.float32)
        self.lame, self.shear, self._pressed = (np.zeros(inside.shape, np.float32) for _ in range(3))
        self._edges = tuple(np.zeros(inside.shape, np.float32) for _ in range(3))
        self.displacement, self.wanted, self._step, self._left, self._inverse = (
            np.zeros_like(self.moves) for _ in range(5)
        )
        self._nothing = np.zeros_like(self.moves)
        self._rows = [rows_of(free) for free in self.free]
        self._textbook = form == "textbook"
        self._largest = 1.0
        self._strides = strides = [inside.shape[1] * inside.shape[2], inside.shape[2], 1]
        self._about = []
        for axis, (b, c) in enumerate(OTHERS):
            order = (axis, b, c)
            self._about.append((tuple(strides[n] for n in order), tuple(float(1 / spacing[n]) for n in order)))
        if not self._textbook:
            self._lay_edges(np.ones(inside.shape, np.float32))

    def prepare(self) -> None:
        """Work out what follows from `lame` and `shear`."""
        self._pressed[...] = self.lame + 2 * self.shear
        if self._textbook:
            self._lay_edges(self.shear)
        self._largest = max(
            (textbook_diagonal if self._textbook else published_diagonal)(
                *self._coefficients(axis),
                self.free[axis].ravel(),
                self._inverse[axis].ravel(),
                *self._about[axis],
                *self._rows[axis],
            )
            for axis in range(3)
        )

    def residual(self, displacement: Faces, wanted: Faces | None) -> Faces:
        """Tell what is left of the equations; the result is overwritten by the next call."""
        kernel = textbook_residual if self._textbook else published_residual
        wanted = self._nothing if wanted is None else wanted
        for axis, others in enumerate(OTHERS):
            kernel(
                *(displacement[n].ravel() for n in (axis, *others)),
                *self._coefficients(axis),
                wanted[axis].ravel(),
                self.moves[axis].ravel(),
                self._left[axis].ravel(),
                *self._about[axis],
                *self._rows[axis],
            )
        return self._left

    def smooth(self, wanted: Faces, times: int) -> None:
        """Take the short waves out of what `displacement` is off."""
        self._step[...] = 0
        for keep, add in smoothing_steps(times):
            self.residual(self.displacement, wanted)
            for axis in range(3):
                relax(
                    *(v[axis].ravel() for v in (self.displacement, self._step, self._left, self._inverse)),
                    np.float32(keep),
                    np.float32(add / self._largest),
                    *self._rows[axis],
                )

    def pushed_by(self, pressure: Cells) -> Faces:
        """Gradient of a pressure on the faces that can move."""
        force = np.zeros_like(self.moves)
        for axis in range(3):
            force[axis] = (np.roll(pressure, -1, axis) - pressure) / self.spacing[axis]
        return np.asarray(force * self.moves)

    def _lay_edges(self, shear: Cells) -> None:
        for (one, other), out in zip(((0, 1), (0, 2), (1, 2)), self._edges, strict=True):
            edge_shear(self.inside.ravel(), shear.ravel(), self._strides[one], self._strides[other], out.ravel())

    def _coefficients(self, axis: int) -> tuple[NDArray[np.float32], ...]:
        xy, xz, yz = self._edges
        edges = ((xy, xz), (xy, yz), (xz, yz))[axis]
        second = self._pressed if self._textbook else self.shear
        return tuple(values.ravel() for values in (self.lame, second, *edges))


def grids_of(inside: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Cells of a body on ever coarser grids, each with a margin of one cell; the first begins with `inside`."""
    depth = max(0, (min(inside.shape) // _FEWEST_CELLS).bit_length() - 1)
    whole = -(-np.array(inside.shape) // 2**depth) * 2**depth
    grids = [np.pad(inside, [(1, 1 + more) for more in whole - inside.shape])]
    while len(grids) <= depth and (coarser := _coarser(grids[-1])).any():
        grids.append(coarser)
    return grids


def smoothing_steps(times: int) -> Iterator[tuple[float, float]]:
    """Coefficients of a Chebyshev iteration over the upper part of a spectrum from 0 to 1 (Adams et al. 2003).

    Yields:
        How much of the step before is kept, and how much of the residual is added.
    """
    middle, half = (1 + 1 / SMOOTHED_PART) / 2, (1 - 1 / SMOOTHED_PART) / 2
    ratio = half / middle
    keep, add = 0.0, 1 / middle
    for _ in range(times):
        yield keep, add
        following = 1 / (2 / half * middle - ratio)
        keep, add, ratio = following * ratio, 2 * following / half, following


def _coarser(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells of twice the size of which at least half is inside; the margin stays one cell."""
    core = inside[1:-1, 1:-1, 1:-1]
    x, y, z = (n // 2 for n in core.shape)
    counts = core.reshape(x, 2, y, 2, z, 2).sum(axis=(1, 3, 5))
    return np.pad(counts >= 4, 1)


def _norm(values: Faces) -> float:
    return math.sqrt(_product(values, values))


def _product(one: Faces, other: Faces) -> float:
    return float(inner_product(one.ravel(), other.ravel()))


OTHERS = ((1, 2), (0, 2), (0, 1))
SMOOTHING, COARSEST_SMOOTHING = 4, 24
SMOOTHED_PART = 30.0  # shear waves of four cells have a thirtieth of the largest eigenvalue where lambda is 4 mu
_FEWEST_CELLS = 4
KEPT_DIRECTIONS = 4
MOST_ITERATIONS = 60
