"""Brain extraction with the networks of deepbet, which come as TorchScript inside its wheel.

Only the two files of weights are used. The package itself is never imported: it brings a graphical user interface and a
second top-level package that is called `data`. What surrounds the networks (cropping, normalisation, the largest piece)
follows deepbet 1.0.2 step by step; connected components and holes are those of scipy.

Source: Fisch et al., deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural networks, Computers
in Biology and Medicine 179 (2024) 108845; MIT licence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....errors import InputError
from ....store.cores import available_cores
from ....store.nifti import Image

if TYPE_CHECKING:
    import torch

_WEIGHTS = {"bounding box": "data/models/bbox_model.pt", "brain": "data/models/model.pt"}
_COARSE_SHAPE = (128, 128, 128)
_FINE_SHAPE = (256, 256, 256)
_BOX_MARGIN = 0.1
_BOX_SHARE = 0.02  # of a plane that must be brain for the plane to count
_RANGE = (0.005, 0.995)  # quantiles of intensity that the networks see as 0 and 1
_ALL_26_NEIGHBOURS = np.ones((3, 3, 3), bool)


def deepbet_is_installed() -> bool:
    """Tell whether the weights and torch are there (extra `head`)."""
    return find_spec("torch") is not None and all(path.is_file() for path in _weight_files().values())


def deepbet_brain(image: Image, threads: int | None = None) -> NDArray[np.bool_]:
    """Find the brain in a whole head.

    Args:
        image: T1, T1c or FLAIR of a whole head; the header says how it lies. What is not finite counts as background.
        threads: of torch; all available cores by default.

    Returns:
        Boolean mask on the image's grid; empty where the networks see no brain.

    Raises:
        InputError: the extra `head` is not installed.
    """
    if not deepbet_is_installed():
        raise InputError(
            "‹strip=deepbet› needs the extra `head`",
            hint="pip install 'gliodex[head]', or take ‹strip=registration›",
        )
    to_canonical = nib.io_orientation(image.frame.affine)
    values = nib.apply_orientation(_finite(image.data), to_canonical)
    with _torch_threads(threads):
        brain = _brain_probability(np.ascontiguousarray(values)) > 0.5
    if brain.any():
        brain = ndimage.binary_fill_holes(_largest_piece(brain))
    from_canonical = nib.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], to_canonical)
    return np.asarray(nib.apply_orientation(brain, from_canonical), dtype=bool)


def _weight_files() -> dict[str, Path]:
    try:
        installed = distribution("deepbet")
    except PackageNotFoundError:
        return {name: Path("deepbet is not installed") for name in _WEIGHTS}
    return {name: Path(str(installed.locate_file(file))) for name, file in _WEIGHTS.items()}


def _finite(data: NDArray[np.generic]) -> NDArray[np.float32]:
    values = np.asarray(data, dtype=np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, values[finite].min() if finite.any() else 0).astype(np.float32)


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or available_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _brain_probability(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the box of the brain in a coarse image, then the brain in that box."""
    import torch

    whole = torch.from_numpy(values)
    coarse = _resized(whole, _COARSE_SHAPE)
    low, high = (float(v) for v in torch.quantile(coarse, torch.tensor(_RANGE)))
    found = np.zeros(values.shape, np.float32)
    if not high > low:
        return found
    coarse_brain = (_network_output("bounding box", _normalised(coarse, low, high)) > 0.5).numpy()
    box = _box_with_margin(coarse_brain, values.shape)
    if box is None:
        return found
    fine = _network_output("brain", _normalised(_resized(whole[box], _FINE_SHAPE), low, high))
    found[box] = _resized(fine, found[box].shape).numpy()
    return found


def _network_output(name: str, values: torch.Tensor) -> torch.Tensor:
    import torch

    load: Any = torch.jit.load  # torch gives it no types
    network = load(str(_weight_files()[name]), map_location="cpu").eval()
    with torch.inference_mode():
        output: torch.Tensor = network(values[None, None])[0, 1]
    return output


def _resized(values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    from torch.nn.functional import interpolate

    return interpolate(values[None, None], shape, mode="nearest-exact")[0, 0]


def _normalised(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    clipped = ((values - low) / (high - low)).clamp(min=0, max=1)
    return 0.226 * (clipped - clipped.mean()) / clipped.std() + 0.449


def _box_with_margin(coarse: NDArray[np.bool_], shape: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Box of the largest piece, widened by a tenth on each side, on a grid of `shape`; None without a piece."""
    if not coarse.any():
        return None
    piece = _largest_piece(coarse)
    box = []
    for axis, length in enumerate(shape):
        others = tuple(other for other in range(3) if other != axis)
        planes = np.flatnonzero(piece.mean(axis=others) > _BOX_SHARE)
        if not planes.size:
            return None
        scale = length / coarse.shape[axis]
        centre = round(scale * (planes.max() + 1 + planes.min()) / 2)
        size = round((1 + 2 * _BOX_MARGIN) * scale * (planes.max() + 1 - planes.min()))
        box.append(slice(max(0, int(centre - size / 2)), min(length, int(centre + size / 2))))
    return tuple(box)


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask, _ALL_26_NEIGHBOURS)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())
