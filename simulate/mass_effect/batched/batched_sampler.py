"""Settling draws of the model with mass effect on a GPU: what `TumourMaker` does, many draws at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ....store.cores import available_cores
from ...sampler import Batch, TumourMaker
from ...snapshots import snapshot_shares
from ..settings import MassEffectSettings
from .solver import BatchedMassEffect


class BatchedTumourMaker(TumourMaker):
    """Looks at draws on all cores, simulates what is left on a device of PyTorch, and encodes it on all cores."""

    device = "cuda"

    def settle(self, start: int, draws: int) -> Batch:
        """Settle `draws` draws from number `start` on; the tumours are those of `TumourMaker`, to rounding."""
        _, preview, tissue = self._ready()
        numbers = range(start, start + draws)
        with ThreadPoolExecutor(available_cores()) as pool:
            wanted = [self.prior.draw(self.atlas, tissue, self.seed, number) for number in numbers]
            looks = pool.map(preview, wanted)
            chosen = [(n, one) for n, one, look in zip(numbers, wanted, looks, strict=True) if not look.hopeless]
            runs = self._solver().grow_many(
                [parameters for _, parameters in chosen],
                [self.prior.whole_ml[1]] * len(chosen),
                [snapshot_shares(self.snapshots, self.seed, number) for number, _ in chosen],
            )
            solved = [(run, *one) for run, one in zip(runs, chosen, strict=True) if run is not None]
            kept = list(pool.map(lambda one: self.kept(one[0], one[2], one[1]), solved))
        found = [tumour for few in kept for tumour in few]
        return Batch(found, start + draws, draws - len(chosen), len(chosen) - len(solved))

    def _solver(self) -> BatchedMassEffect:
        if not hasattr(self, "_batched"):
            assert isinstance(self.settings, MassEffectSettings)
            self._batched = BatchedMassEffect(self.atlas, self.settings, self.device)
        return self._batched
