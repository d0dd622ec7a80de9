"""Telling a whole head from a brain alone, by the image alone.

Under the surface of a head lie scalp, skull and brain: bright, dark, bright, whatever the contrast is. Under the
surface of a stripped brain lies brain. Sulci are dark, too, but narrow: most of the directions around one miss it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....store.nifti import Image
from .layers import STEP_MM, Profiles, foreground, profiles

_SCALP_MM = 12.0  # the bright outer layer lies above this depth
_SKULL_MM = 24.0  # and the dark layer above this
_BRAIN_MM = 40.0  # and what is bright again above this
_DARK_LAYER = 0.3  # loss of signal between two bright layers that counts as a skull
_NEIGHBOURHOOD_DEGREES = 18.0
_SKULL_SHARE = 0.24  # stripped images have at most 0.15 of their directions with a skull, heads at least 0.34
_DOUBTFUL_SHARES = (0.16, 0.32)
_LARGEST_BRAIN_ML = 2100.0


@dataclass(frozen=True)
class SkullEvidence:
    """Whether an image shows a whole head, and why.

    Args:
        skull: whether it does.
        share: of the directions from the middle outwards, those in which a dark layer lies between two bright ones.
        volume_ml: of all tissue and what it surrounds.
        doubts: in words; empty where the image is clearly one or the other.
    """

    skull: bool
    share: float
    volume_ml: float
    doubts: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The evidence in one sentence."""
        seen = f"{self.share:.0%} of all directions show a dark layer between two bright ones"
        return f"{'a whole head' if self.skull else 'a brain alone'}: {seen}, {self.volume_ml:,.0f} ml in all"


def has_skull(image: Image) -> SkullEvidence:
    """Tell whether an image shows a whole head, with its skull, or a brain alone.

    Args:
        image: T1, T1c or FLAIR, in any orientation and on any grid; its background may have any value, noise, or NaN.

    Raises:
        InputError: nothing stands out from the background.
    """
    found = foreground(image)
    share = _skull_share(profiles(found))
    skull = share > _SKULL_SHARE
    doubts = []
    if _DOUBTFUL_SHARES[0] < share < _DOUBTFUL_SHARES[1]:
        doubts.append(
            f"{image.path} was taken for {'a whole head' if skull else 'a brain alone'}, but under {share:.0%} of its "
            "surface there seems to be skull: look at it, and strip it with another tool if that is wrong"
        )
    elif not skull and found.volume_ml > _LARGEST_BRAIN_ML:
        doubts.append(
            f"{image.path} was taken for a brain alone, but holds {found.volume_ml:,.0f} ml, more than a brain: "
            "look whether parts of the skull, the face or the neck are left"
        )
    return SkullEvidence(skull, share, found.volume_ml, tuple(doubts))


def _skull_share(under: Profiles) -> float:
    """Share of the directions around which the dark layer is, in the median, dark enough to be skull."""
    directions = under.directions[under.seen]
    if not len(directions):
        return 0.0
    loss = _signal_loss(under.signal[under.seen])
    near = directions @ directions.T > np.cos(np.radians(_NEIGHBOURHOOD_DEGREES))
    around = np.array([np.median(loss[row]) for row in near])
    return float(np.mean(around > _DARK_LAYER))


def _signal_loss(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much the signal falls between an outer and an inner bright layer, as a share of the fainter one."""
    depth = np.arange(signal.shape[1])
    scalp, skull, brain = (int(mm / STEP_MM) for mm in (_SCALP_MM, _SKULL_MM, _BRAIN_MM))
    outer_at = signal[:, :scalp].argmax(axis=1)
    outer = signal[:, :scalp].max(axis=1)
    between = np.where((depth >= outer_at[:, None]) & (depth < skull), signal, np.inf)
    dark_at, dark = between.argmin(axis=1), between.min(axis=1)
    inner = np.where((depth >= dark_at[:, None]) & (depth < brain), signal, -np.inf).max(axis=1)
    return np.asarray(1 - dark / np.maximum(np.minimum(outer, inner), 1e-6))
