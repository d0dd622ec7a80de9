"""Intensities as the registration needs them: nothing around the brain is 0, everything in it is above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.nifti import Image

_COMMON = 0.05  # share of a volume that one value must have to be its background; tissue has no such value
_DARKEST, _BRIGHTEST = 0.1, 99.0  # percentiles between which the range of tissue lies
_DEEPEST, _USUAL = 0.5, 0.15  # of that range, how far black lies below the darkest tissue: at most, and if unknown
_LEAST = 1e-3  # that tissue is raised to above 0


def above_background(image: Image) -> Image:
    """Find the background of an image of a brain or head, and bring it to 0 and all else above.

    The background is what is not a number, and the value that more than 5 % of the rest share: 0 as a rule, but also
    0 in the middle of z-scores, -1024, or a value above all tissue. Black is that value where it lies below all tissue,
    else 0 where tissue is positive, else somewhat below the darkest tissue. Without a background, as in a scanner's
    noise, it is the lowest intensity.

    Args:
        image: of a brain or head; values that are not finite are outside of it.

    Returns:
        float32 from 0 to 1 for all but the brightest 1 %, on the same frame.

    Raises:
        InputError: the image has the same value everywhere.
    """
    data = np.asarray(image.data, dtype=np.float32)
    finite = np.isfinite(data)
    background = background_value(data[finite])
    head = finite if background is None else finite & (data != np.float32(background))
    values = data[head]
    if not values.size or float(np.ptp(values)) == 0:
        raise InputError(f"{image.path} has the same value everywhere", hint="give a T1 or T1c of the brain")
    around = np.count_nonzero(head) < (1 - _COMMON) * head.size
    low, high = (float(v) for v in np.percentile(values, [_DARKEST, _BRIGHTEST]))
    black = _black(background, low, high) if around else low
    scaled = (values - np.float32(black)) / np.float32(max(high - black, _SMALLEST))
    out = np.zeros(data.shape, np.float32)
    out[head] = np.maximum(scaled, _LEAST if around else 0)
    return Image(out, image.frame, image.path)


def _black(background: float | None, low: float, high: float) -> float:
    """Intensity of no signal, where there is a background."""
    if background is not None and background <= low:
        return max(background, low - _DEEPEST * (high - low))
    return 0.0 if low > 0 else low - _USUAL * (high - low)


def background_value(values: NDArray[np.float32]) -> float | None:
    """Value that lies around the brain: one that more than 5 % of an image share; None where there is none."""
    if not values.size:
        return None
    sample = np.sort(values[:: max(1, values.size // _SAMPLED)])
    ends = np.flatnonzero(np.diff(sample) != 0)
    starts = np.concatenate([[0], ends + 1])
    counts = np.diff(np.concatenate([starts, [sample.size]]))
    most = int(np.argmax(counts))
    return float(sample[starts[most]]) if counts[most] > _COMMON * sample.size else None


def evenly_lit(image: Image) -> Image:
    """Remove the slow changes of brightness across an image that coils make (N4, Tustison et al. 2010).

    They multiply what a scanner measures: so this comes before intensities are shifted.

    Args:
        image: of a brain or head, with any background.

    Returns:
        The image with its background at 0.

    Raises:
        InputError: the image has the same value everywhere.
    """
    import ants

    from .ants_transform import quietly, to_ants

    head = np.asarray(above_background(image).data) > 0
    values = np.where(head, np.asarray(image.data, dtype=np.float32), 0)
    values = np.where(head, values - min(0.0, float(values[head].min())), 0).astype(np.float32)
    shrink = int(np.clip(_N4_MM / min(image.frame.spacing), 1, 4))
    with quietly():
        mask = to_ants(head.astype(np.float32), image.frame)
        even = ants.n4_bias_field_correction(to_ants(values, image.frame), mask=mask, shrink_factor=shrink)
    return Image(np.where(head, even.numpy(), 0).astype(np.float32), image.frame, image.path)


_N4_MM = 4.0  # to which voxels are joined while the field is fitted
_SAMPLED = 2_000_000
_SMALLEST = 1e-30
