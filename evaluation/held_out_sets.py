"""Test sets of retrieval: held-out simulations, the same with perturbed masks, and patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import InputError
from ..retrieval.imaging.choices import Space
from ..retrieval.imaging.segmentation import Segmentation, from_labels
from ..retrieval.imaging.spaces import space_map
from ..retrieval.imaging.transforms import mask_to_atlas
from ..simulate import Prior, prior_for, settings_of
from ..simulate.sampler import TumourMaker
from ..store.cores import available_cores
from ..store.density import decode
from ..store.nifti import load_image
from ..store.parameters import GrowthParameters
from ..store.quantization import level_of
from ..store.reader import TumorStore

Mask = NDArray[np.bool_]
Progress = Callable[[int, int], None]


@dataclass
class QuerySet:
    """Queries of one kind, a bit a voxel in memory.

    Args:
        name: of the kind.
        shape: of the store's frame.
        labels: of each: its number, how it was spoilt, or the patient's folder.
        packed: both masks of each.
    """

    name: str
    shape: tuple[int, int, int]
    labels: list[str] = field(default_factory=list)
    packed: list[NDArray[np.uint8]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.packed)

    def add(self, label: str, core: Mask, whole: Mask) -> None:
        """Add a query."""
        self.labels.append(label)
        self.packed.append(np.packbits(np.stack([core, whole])))

    def __iter__(self) -> Iterator[tuple[Mask, Mask]]:
        return (self[n] for n in range(len(self)))

    def __getitem__(self, n: int) -> tuple[Mask, Mask]:
        """Core and whole of a query."""
        return unpacked(self.packed[n], self.shape)

    def first(self, number: int) -> QuerySet:
        """Return the first so many."""
        return QuerySet(self.name, self.shape, self.labels[:number], self.packed[:number])


def unpacked(packed: NDArray[np.uint8], shape: tuple[int, int, int]) -> tuple[Mask, Mask]:
    """Core and whole from their bits."""
    both = np.unpackbits(packed, count=2 * int(np.prod(shape))).reshape(2, *shape).view(np.bool_)
    return both[0], both[1]


def unseen(store: TumorStore, number: int, seed: int, progress: Progress | None = None) -> QuerySet:
    """Simulate tumours of a campaign that a store does not hold.

    Args:
        store: to be searched.
        number: of tumours.
        seed: of the campaign.
        progress: told how far it has come.

    Raises:
        InputError: the store holds this campaign, or is of another growth model than this version simulates.
    """
    levels = [level_of(store.thresholds[name]) for name in ("core", "whole")]
    found = QuerySet("unseen", store.frame.shape)
    for n, (_, integers) in enumerate(islice(unseen_tumours(store, seed), number)):
        found.add(str(n), integers >= levels[0], integers >= levels[1])
        if progress:
            progress(n + 1, number)
    return found


def unseen_tumours(store: TumorStore, seed: int) -> Iterator[tuple[GrowthParameters, NDArray[np.uint16]]]:
    """Simulate tumours of a campaign that a store does not hold, endlessly: their parameters and integers.

    They are drawn as most of the store's; those that fold tissue are left out, as they are from searches.

    Raises:
        InputError: see `unseen`.
    """
    check_unseen(store, seed)
    settings = settings_of(store.manifest.model, store.path, "compare with the gliodex that built it")
    built = max(store.manifest.campaigns.values(), key=lambda campaign: campaign.count, default=None)
    prior = Prior.from_record(built.prior) if built else Prior()
    maker = TumourMaker(store.atlas, settings, prior_for(settings, prior), seed)
    cores = available_cores()
    with ThreadPoolExecutor(cores) as pool:
        for start in count(0, _DRAWS * cores):
            blocks = range(start, start + _DRAWS * cores, _DRAWS)
            for batch in pool.map(lambda block: maker.settle(block, _DRAWS), blocks):
                for tumour in batch.tumours:
                    assert tumour.parameters is not None
                    if tumour.least_jacobian <= 0:
                        continue
                    yield tumour.parameters, decode(tumour.chunk, store.frame.shape)


def check_unseen(store: TumorStore, seed: int) -> None:
    """Refuse a seed whose tumours a store may hold.

    Raises:
        InputError: the store was built with it.
    """
    if seed in {campaign.seed for campaign in store.manifest.campaigns.values()}:
        raise InputError(f"{store.path} was built with the seed {seed} itself", hint="choose another ‹seed›")


def perturbed(given: QuerySet, seed: int) -> QuerySet:
    """Spoil each query in one of the four ways of `SPOILT`, in turn."""
    found = QuerySet("perturbed", given.shape)
    for n, masks in enumerate(given):
        how = list(SPOILT)[n % len(SPOILT)]
        core, whole = SPOILT[how](*masks, np.random.default_rng([seed, n]))
        found.add(how, core, whole | core)
    return found


def _shifted(core: Mask, whole: Mask, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """As by a poor registration: up to 3 voxels along each axis."""
    step = rng.integers(-3, 4, 3)
    moved = [ndimage.shift(mask.view(np.uint8), step, order=0).astype(bool) for mask in (core, whole)]
    return moved[0], moved[1]


def _dilated(core: Mask, whole: Mask, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """As by a generous hand: 1 or 2 voxels larger."""
    by = int(rng.integers(1, 3))
    return ndimage.binary_dilation(core, iterations=by), ndimage.binary_dilation(whole, iterations=by)


def _with_gaps(core: Mask, whole: Mask, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """As by a failing network: a fifth of the brain left out, in patches of about a centimetre."""
    noise = ndimage.gaussian_filter(rng.standard_normal(core.shape), 2.0)
    kept = noise >= np.quantile(noise, 0.2)
    return core & kept, whole & kept


def _mislabelled(core: Mask, whole: Mask, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Core and oedema exchanged in a ball of half the tumour's radius around one of its voxels."""
    voxels = np.argwhere(whole)
    centre = voxels[rng.integers(len(voxels))]
    radius = 0.5 * (3 * len(voxels) / (4 * np.pi)) ** (1 / 3)
    ball = radius**2 >= ((np.indices(whole.shape).T - centre) ** 2).sum(-1).T
    return np.where(ball & whole, ~core, core), whole


SPOILT = {"shifted": _shifted, "dilated": _dilated, "with gaps": _with_gaps, "mislabelled": _mislabelled}
"""How a segmentation can be wrong."""


def patients(store: TumorStore, folder: Path, space: Space = "sri24", progress: Progress | None = None) -> QuerySet:
    """Read the segmentations of a cohort: one folder a patient with a `seg.nii.gz` of BraTS labels.

    Every label but oedema (2) is core, as the references of the cohorts say.

    Args:
        store: to be searched.
        folder: of the cohort.
        space: that all of them are in.
        progress: told how far it has come.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    spatial = space_map(space, store.atlas)
    found = QuerySet("patients", store.frame.shape)
    cases = cases_of(folder)
    for n, case in enumerate(cases):
        given = segmentation_of(case)
        masks = [mask_to_atlas(spatial, mask, given.frame, store.frame) for mask in (given.core, given.whole)]
        if not masks[1].any():
            raise InputError(f"{case} lies outside the atlas", hint="check its affine, or ‹space›")
        found.add(case.parent.name, masks[0], masks[1] | masks[0])
        if progress:
            progress(n + 1, len(cases))
    return found


def cases_of(folder: Path) -> list[Path]:
    """List the segmentations of a cohort.

    Raises:
        InputError: there is none.
    """
    cases = sorted(folder.glob("*/seg.nii.gz"))
    if not cases:
        raise InputError(f"{folder} holds no patients: each needs a folder of its own with a seg.nii.gz")
    return cases


def segmentation_of(case: Path) -> Segmentation:
    """Read a patient of a cohort; every label but oedema is core."""
    present = [int(label) for label in np.unique(load_image(case).data) if label]
    return from_labels(case, core=tuple(label for label in present if label != _OEDEMA))


_OEDEMA = 2
_DRAWS = 32  # settled by a core at a time
