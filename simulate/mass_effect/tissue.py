"""What moving tissue is to a tumour: how fast it spreads there, and how stiff it is; compiled with numba.

Masses are those of white matter, grey matter and CSF in a cell, relative to what fills it at rest; their shares are the
tissue fractions. Where tumour pulls tissue apart they sum to less than one, where it presses to more.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Masses = NDArray[np.float32]

_EMPTY = np.float32(1e-6)


@njit(cache=True, nogil=True)
def relative_diffusivity(
    masses: Masses, first: NDArray[np.int32], stop: NDArray[np.int32], ratio: float, renormalised: bool, out: Masses
) -> None:
    """Write diffusivity over D_w: 0 where CSF outweighs white and grey matter.

    Args:
        masses: (3, cells).
        first: flat index of the first cell of each row that holds brain.
        stop: one past the last.
        ratio: D_w / D_g.
        renormalised: whether partial volumes count in full, see `FisherKolmogorovSettings`.
        out: (cells,) receives the result.
    """
    for row in range(first.size):
        for q in range(first[row], stop[row]):
            white, grey, csf = masses[0, q], masses[1, q], masses[2, q]
            tissue = white + grey
            total = tissue if renormalised else tissue + csf
            out[q] = (white + grey / ratio) / max(total, _EMPTY) if tissue > csf else np.float32(0)


@njit(cache=True, nogil=True)
def face_coefficients(
    cell: NDArray[np.float32],
    inverse_squares: tuple[float, float, float],
    harmonic: bool,
    faces: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Write face coefficients, 1/mm².

    Args:
        cell: relative diffusivity, (x + 1, y + 1, z + 1): one more cell at the end of each axis.
        inverse_squares: of the spacing, 1/mm².
        harmonic: mean of two cells; arithmetic without.
        faces: (x, y, z) along x, y and z; entry (i, j, k) couples that cell with the next.
    """
    half, two = np.float32(0.5), np.float32(2)
    for axis in range(3):
        face, scale = faces[axis], np.float32(inverse_squares[axis])
        di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
        for i in range(face.shape[0]):
            for j in range(face.shape[1]):
                for k in range(face.shape[2]):
                    near, far = cell[i, j, k], cell[i + di, j + dj, k + dk]
                    mean = two * near * far / max(near + far, _EMPTY) if harmonic else half * (near + far)
                    face[i, j, k] = scale * mean if near > 0 and far > 0 else np.float32(0)


@njit(cache=True, nogil=True)
def stiffness(
    masses: Masses,
    density: NDArray[np.float32],
    brain: NDArray[np.bool_],
    materials: NDArray[np.float32],
    pooled: int,
    margin: int,
    out: Masses,
) -> None:
    """Write lambda, mu and density of cells that each pool several voxels: means over those of the brain.

    Args:
        masses: (3, x, y, z).
        density: (x, y, z).
        brain: (x, y, z).
        materials: lambda and mu of white matter, grey matter, CSF and tumour, (2, 4).
        pooled: voxels along each edge of a cell.
        margin: voxels before the first cell.
        out: (3, cells) receives the results.
    """
    _, nx, ny, nz = out.shape
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                lame, shear, tumour, count = np.float32(0), np.float32(0), np.float32(0), 0
                for x in range(margin + pooled * i, margin + pooled * (i + 1)):
                    for y in range(margin + pooled * j, margin + pooled * (j + 1)):
                        for z in range(margin + pooled * k, margin + pooled * (k + 1)):
                            if not brain[x, y, z]:
                                continue
                            count += 1
                            c = density[x, y, z]
                            white, grey, csf = masses[0, x, y, z], masses[1, x, y, z], masses[2, x, y, z]
                            total = max(white + grey + csf, _EMPTY)
                            tumour += c
                            lame += (
                                c * materials[0, 3]
                                + (white * materials[0, 0] + grey * materials[0, 1] + csf * materials[0, 2]) / total
                            )
                            shear += (
                                c * materials[1, 3]
                                + (white * materials[1, 0] + grey * materials[1, 1] + csf * materials[1, 2]) / total
                            )
                share = np.float32(1 / max(count, 1))
                out[0, i, j, k], out[1, i, j, k], out[2, i, j, k] = share * lame, share * shear, share * tumour
