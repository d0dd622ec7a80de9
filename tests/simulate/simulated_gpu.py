"""Run by test_cuda in a process of its own, with numba's CUDA simulator: prints how far GPU and CPU are apart."""

import json
import sys

import numpy as np

from gliodex.simulate import FisherKolmogorov, GrowthParameters
from gliodex.simulate import cuda as gpu
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame


def main():
    frame = Frame.centred((0, 0, 0), 11, 3.0)
    radius = np.linalg.norm(np.indices(frame.shape) - 5.0, axis=0)
    white, grey, csf = (
        part.astype(np.float32) for part in (0.9 * (radius < 3.5), 0.8 * ((radius >= 3.5) & (radius < 5)), radius >= 5)
    )
    atlas = Atlas("ball", frame, white, grey, csf, white)
    wanted = [
        GrowthParameters((0, 1, 2), 0.3, 0.03, 60),
        GrowthParameters((3, -2, 0), 0.05, 0.08, 40),
        GrowthParameters((0, 0, 0), 0.8, 0.2, 60),
    ]
    shares = [(0.5, 0.8), (), ()]
    reaches = [None, ((4, 4, 4), (8, 8, 8)), None]  # the second leaves its box and is made again
    gpu.BATCH_CELLS = 3000  # two boxes at a time
    host = FisherKolmogorov(atlas)
    runs = gpu.CudaFisherKolmogorov(atlas).grow_many(wanted, [4.0] * 3, reaches, shares)
    told = []
    for parameters, run, share in zip(wanted, runs, shares, strict=True):
        expected = host.grow(parameters, stop_above_ml=4.0, snapshots=share)
        told.append(
            {
                "outgrew": [run.outgrew, expected.outgrew],
                "apart": float(np.abs(run.full() - expected.full()).max()),
                "peak": float(expected.full().max()),
                "snapshot_days": [[s.days for s in r.snapshots] for r in (run, expected)],
                "snapshots_apart": [
                    abs(float(a.density.sum()) - float(b.density.sum()))
                    for a, b in zip(run.snapshots, expected.snapshots, strict=True)
                ],
            }
        )
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
