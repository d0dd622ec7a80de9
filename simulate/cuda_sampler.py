"""Settling draws on a GPU: what `TumourMaker` does, thousands of draws at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from ..errors import InputError
from .cuda import CudaFisherKolmogorov
from .early_rejection import Preview
from .growth_models import without_mass_effect
from .sampler import Batch, TumourMaker
from .snapshots import snapshot_shares

GPU_DRAWS = 4096
"""Draws to settle at a time: about 400 simulations."""


class CudaTumourMaker(TumourMaker):
    """Simulates coarse runs and tumours on the GPU, and encodes them on all cores."""

    def settle(self, start: int, draws: int) -> Batch:
        """Settle `draws` draws from number `start` on; the tumours are those of `TumourMaker`, to rounding."""
        _, preview, tissue = self._ready()
        if not hasattr(self, "_fine"):
            self._fine = CudaFisherKolmogorov(self.atlas, without_mass_effect(self.settings))
            self._coarse = CudaFisherKolmogorov(preview.coarse.atlas, preview.coarse.settings)
        wanted = {index: self.prior.draw(self.atlas, tissue, self.seed, index) for index in range(start, start + draws)}
        wanted = {index: p for index, p in wanted.items() if not preview.hopeless_at_a_glance(p)}
        looks, seen = {}, []
        for index, parameters in wanted.items():
            try:
                preview.coarse.seed_density(parameters.seed_mm)
                seen.append(index)
            except InputError:  # the seed's tissue vanished on the coarse grid
                looks[index] = Preview(hopeless=False)
        limits = [preview.coarse_limit_ml(wanted[index]) for index in seen]
        runs = self._coarse.grow_many([wanted[index] for index in seen], limits)
        looks |= {index: preview.judged(run) for index, run in zip(seen, runs, strict=True)}
        chosen = sorted(index for index, look in looks.items() if not look.hopeless)
        grown = self._fine.grow_many(
            [wanted[index] for index in chosen],
            [self.prior.whole_ml[1]] * len(chosen),
            [looks[index].reach for index in chosen],
            [snapshot_shares(self.snapshots, self.seed, index) for index in chosen],
        )
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            kept = list(pool.map(lambda n: self.kept(grown[n], wanted[chosen[n]], chosen[n]), range(len(chosen))))
        return Batch([tumour for few in kept for tumour in few], start + draws, draws - len(chosen))
