"""One observation, two ways to its posterior: outlines drawn voxel by voxel, whose likelihood is known.

The learned posterior sees simulated label maps alone, the sampler their likelihood (Ezhov et al. 2021, Eqs. 5 and 6).
Both have the parameters and the prior of the synthetic case of Ezhov et al. (2019), and ought to find the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..retrieval.forecast import FollowUp
from ..retrieval.forecast.follow_up import NAMES
from ..retrieval.refinement.likelihood import Evidence, Images, Imaging, draw_images
from ..simulate import Growth
from ..store.cores import available_cores
from .rat_phantom import TRUTH

Numbers = NDArray[np.float64]
Maps = NDArray[np.uint8]

WIDTH = 0.06
"""σ_α of both outlines."""


class NoisyOutlines:
    """Both as a `LabelProblem` and as what `transitional.sample` asks for.

    Args:
        problem: see `small_animal`; looked at where it is.
        seed: of the observation.
    """

    names, simulated = NAMES, 2

    def __init__(self, problem: FollowUp, seed: int = 3) -> None:
        self.problem, self.low, self.high = problem, problem.low, problem.high
        atlas = problem.solver.atlas
        self._tissue = atlas.tissue[problem.box]
        self.observed: Maps = self._drawn(TRUTH, np.random.default_rng(seed))
        core, whole, inside = (np.zeros(atlas.frame.shape, bool) for _ in range(3))
        core[problem.box], whole[problem.box], inside[problem.box] = self.observed == 2, self.observed >= 1, True
        self._images = Images(atlas, core, whole, region=inside)

    def label_maps(self, points: Numbers, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Maps]:
        """See `LabelProblem`."""
        seeds = rng.integers(2**63, size=len(points))
        with ThreadPoolExecutor(available_cores()) as pool:
            maps = list(pool.map(lambda point, seed: self._drawn(point, np.random.default_rng(seed)), points, seeds))
        return np.ones(len(points), bool), np.array(maps, np.uint8).reshape(-1, *self.observed.shape)

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw from the prior."""
        return np.asarray(rng.uniform(self.low, self.high, (number, len(self.names))))

    def log_prior(self, points: Numbers) -> Numbers:
        """Logarithm of its density."""
        inside = ((points >= self.low) & (points <= self.high)).all(axis=1)
        return np.where(inside, -np.log(self.high - self.low).sum(), -np.inf)

    log_start = log_prior

    def simulate(self, points: Numbers) -> Sequence[Evidence]:
        """Simulate points, and count what their likelihood asks for."""
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda point: self._images.evidence(self._grown(point)), points))

    def log_likelihood(self, points: Numbers, simulated: Sequence[Evidence]) -> Numbers:
        """Logarithm of the observation's probability."""
        return np.array(
            [
                self._images.log_likelihood(evidence, Imaging(point[2], point[3], WIDTH))
                for point, evidence in zip(points, simulated, strict=True)
            ]
        )

    def _grown(self, point: Numbers) -> Growth:
        return self.problem.grow(point, self.problem.scan.days)

    def _drawn(self, point: Numbers, rng: np.random.Generator) -> Maps:
        density = self._grown(point).full()[self.problem.box]
        core, whole, _ = draw_images(density, Imaging(point[2], point[3], WIDTH), rng)
        return np.where(self._tissue, np.where(core & whole, 2, np.where(whole, 1, 0)), 0).astype(np.uint8)
