"""The inner loops of the elastic solver, compiled with numba.

Displacements live on the faces of cells, each component where it is normal: entry (i, j, k) of the x component is that
of the face between cell i and i + 1. Stresses along an axis then fall on cell centres and shear stresses on edges, so
that all differences are central (Harlow and Welch 1965; Virieux 1986). Arrays are C-order (x, y, z) with a margin of
blocked cells on every side. A component is told by the strides of its own axis and of the two others.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from ..active_rows import Rows
from ..numba_flags import SeparateArrays

Cells = NDArray[np.float32]
Flat = NDArray[np.float32]
Strides = tuple[int, int, int]
Inverses = tuple[float, float, float]
"""One over the spacing along a component's own axis, and along the two others, 1/mm."""

_SUMS = 256


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def textbook_residual(
    own: Flat,
    other: Flat,
    third: Flat,
    lame: Flat,
    pressed: Flat,
    edge_other: Flat,
    edge_third: Flat,
    wanted: Flat,
    moves: Flat,
    residual: Flat,
    strides: Strides,
    inverses: Inverses,
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> None:
    """Write wanted + div(lambda div(u) I + mu (grad u + grad u^T)), one component.

    Args:
        own: component of the displacement whose equation it is.
        other: component along the second of `strides`.
        third: component along the third.
        lame: lambda of cells.
        pressed: lambda + 2 mu of cells.
        edge_other: mu of the edges between own and second axis; entry (i, j, k) touches those cells and the next.
        edge_third: likewise between own and third axis.
        wanted: minus the body force.
        moves: 1 at faces that can move, 0 at blocked ones.
        residual: receives the result.
        strides: of own axis and the others, in cells.
        inverses: of the spacings along these.
        first: flat index of the first cell of each row along z that has free faces.
        stop: one past the last.
    """
    a, b, c = uint64(strides[0]), uint64(strides[1]), uint64(strides[2])
    ia, ib, ic = np.float32(inverses[0]), np.float32(inverses[1]), np.float32(inverses[2])
    for row in range(first.size):
        for q in range(uint64(first[row]), uint64(stop[row])):
            n = q + a
            here, onward = own[q], own[n]
            near = pressed[q] * (here - own[q - a]) * ia
            near += lame[q] * ((other[q] - other[q - b]) * ib + (third[q] - third[q - c]) * ic)
            far = pressed[n] * (onward - here) * ia
            far += lame[n] * ((other[n] - other[n - b]) * ib + (third[n] - third[n - c]) * ic)
            up = edge_other[q] * ((own[q + b] - here) * ib + (other[n] - other[q]) * ia)
            down = edge_other[q - b] * ((here - own[q - b]) * ib + (other[n - b] - other[q - b]) * ia)
            left = edge_third[q] * ((own[q + c] - here) * ic + (third[n] - third[q]) * ia)
            right = edge_third[q - c] * ((here - own[q - c]) * ic + (third[n - c] - third[q - c]) * ia)
            balance = wanted[q] + (far - near) * ia + (up - down) * ib + (left - right) * ic
            residual[q] = moves[q] * balance


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def published_residual(
    own: Flat,
    other: Flat,
    third: Flat,
    lame: Flat,
    shear: Flat,
    edge_other: Flat,
    edge_third: Flat,
    wanted: Flat,
    moves: Flat,
    residual: Flat,
    strides: Strides,
    inverses: Inverses,
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> None:
    """Write wanted + (lambda + mu) laplace(u) + mu grad(div u), one component: as Ezhov et al. (2023) code their Eq. 5.

    Args:
        own: see `textbook_residual`.
        other: likewise.
        third: likewise.
        lame: lambda of cells.
        shear: mu of cells.
        edge_other: what of a difference counts across the edges between own and second axis: twice at the border.
        edge_third: likewise between own and third axis.
        wanted: see `textbook_residual`.
        moves: likewise.
        residual: likewise.
        strides: likewise.
        inverses: likewise.
        first: likewise.
        stop: likewise.
    """
    a, b, c = uint64(strides[0]), uint64(strides[1]), uint64(strides[2])
    ia, ib, ic = np.float32(inverses[0]), np.float32(inverses[1]), np.float32(inverses[2])
    half = np.float32(0.5)
    for row in range(first.size):
        for q in range(uint64(first[row]), uint64(stop[row])):
            n = q + a
            here, onward = own[q], own[n]
            mu = half * (shear[q] + shear[n])
            both = half * (lame[q] + lame[n]) + mu
            near = (here - own[q - a]) * ia
            far = (onward - here) * ia
            spread = (far - near) * ia
            spread += (edge_other[q] * (own[q + b] - here) - edge_other[q - b] * (here - own[q - b])) * ib * ib
            spread += (edge_third[q] * (own[q + c] - here) - edge_third[q - c] * (here - own[q - c])) * ic * ic
            near += (other[q] - other[q - b]) * ib + (third[q] - third[q - c]) * ic
            far += (other[n] - other[n - b]) * ib + (third[n] - third[n - c]) * ic
            residual[q] = moves[q] * (wanted[q] + both * spread + mu * (far - near) * ia)


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def relax(
    displacement: Flat,
    step: Flat,
    residual: Flat,
    inverse: Flat,
    keep: np.float32,
    add: np.float32,
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> None:
    """Make one step of a Chebyshev iteration: step <- keep step + add residual / diagonal, onto the displacement.

    Args:
        displacement: one component.
        step: of the iteration before, and of this.
        residual: of the component.
        inverse: one over the diagonal of its equations, 0 at blocked faces.
        keep: factor of the step before.
        add: factor of the residual.
        first: see `textbook_residual`.
        stop: likewise.
    """
    for row in range(first.size):
        for q in range(uint64(first[row]), uint64(stop[row])):
            made = keep * step[q] + add * residual[q] * inverse[q]
            step[q] = made
            displacement[q] += made


@njit(cache=True, nogil=True)
def edge_shear(inside: NDArray[np.bool_], shear: Flat, one: int, other: int, out: Flat) -> None:
    """Write mu of the edges between two axes: the mean over those of four cells that are inside.

    An edge on the border is where the displacement is zero, half a cell from the nearest face: what is twice as steep
    there counts twice.

    Args:
        inside: cells of the body, flat; the margin is not.
        shear: mu of cells.
        one: stride of the first axis.
        other: of the second.
        out: receives the edges; each touches its cell and the next along both axes.
    """
    for q in range(inside.size - one - other):
        total, count = np.float32(0), 0
        for cell in (q, q + one, q + other, q + one + other):
            if inside[cell]:
                total += shear[cell]
                count += 1
        out[q] = total / np.float32(max(count, 1)) * np.float32(1 if count == 4 else 2)


@njit(cache=True, nogil=True)
def textbook_diagonal(
    lame: Flat,
    pressed: Flat,
    edge_other: Flat,
    edge_third: Flat,
    free: NDArray[np.bool_],
    inverse: Flat,
    strides: Strides,
    inverses: Inverses,
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> float:
    """Write one over the diagonal of a component's equations; see `textbook_residual`.

    Returns:
        Bound of the largest eigenvalue of the equations divided by their diagonal (Gershgorin).
    """
    a, b, c = strides
    ia, ib, ic = inverses
    largest = 0.0
    for row in range(first.size):
        for q in range(first[row], stop[row]):
            inverse[q] = 0
            if not free[q]:
                continue
            edges_b, edges_c = edge_other[q] + edge_other[q - b], edge_third[q] + edge_third[q - c]
            diagonal = (pressed[q] + pressed[q + a]) * ia * ia + edges_b * ib * ib + edges_c * ic * ic
            across = (2 * (lame[q] + lame[q + a]) + 2 * edges_b) * ia * ib
            across += (2 * (lame[q] + lame[q + a]) + 2 * edges_c) * ia * ic
            inverse[q] = 1 / diagonal
            largest = max(largest, 2 + across / diagonal)
    return largest


@njit(cache=True, nogil=True)
def published_diagonal(
    lame: Flat,
    shear: Flat,
    edge_other: Flat,
    edge_third: Flat,
    free: NDArray[np.bool_],
    inverse: Flat,
    strides: Strides,
    inverses: Inverses,
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> float:
    """Write one over the diagonal of a component's equations; see `published_residual`.

    Returns:
        As `textbook_diagonal`.
    """
    a, b, c = strides
    ia, ib, ic = inverses
    largest = 0.0
    for row in range(first.size):
        for q in range(first[row], stop[row]):
            inverse[q] = 0
            if not free[q]:
                continue
            mu = (shear[q] + shear[q + a]) / 2
            both = (lame[q] + lame[q + a]) / 2 + mu
            edges_b, edges_c = edge_other[q] + edge_other[q - b], edge_third[q] + edge_third[q - c]
            diagonal = both * (2 * ia * ia + edges_b * ib * ib + edges_c * ic * ic) + 2 * mu * ia * ia
            inverse[q] = 1 / diagonal
            largest = max(largest, 2 + 4 * mu * ia * (ib + ic) / diagonal)
    return largest


@njit(cache=True, nogil=True)
def inner_product(one: Flat, other: Flat) -> float:
    """Sum the products of two vectors of one length, always in the same order.

    That of BLAS depends on the processor and on how many threads it takes. Here, products that are `_SUMS` apart are
    summed, and then these sums; the inner loop is as wide as any vector, and no slower than BLAS.
    """
    sums, size, side = np.zeros(_SUMS), uint64(one.size), uint64(_SUMS)
    for begin in range(uint64(0), size, side):
        for q in range(begin, min(begin + side, size)):
            sums[q - begin] += np.float64(one[q]) * np.float64(other[q])
    total = 0.0
    for part in sums:
        total += part
    return total


def rows_of(free: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """Flat indices of the first cell of each row along z that is set, and one past the last; no rows that have none."""
    some = np.argwhere(free.any(axis=2))
    depth = free.shape[2]
    rows = free[some[:, 0], some[:, 1]]
    begin = (some[:, 0] * free.shape[1] + some[:, 1]) * depth
    first = begin + rows.argmax(axis=1)
    stop = begin + depth - rows[:, ::-1].argmax(axis=1)
    return first.astype(np.int32), stop.astype(np.int32)
