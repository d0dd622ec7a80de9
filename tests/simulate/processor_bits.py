"""What a processor makes of tumours: digests of densities, and the machine code that they were computed with.

python processor_bits.py stages|tumours|compile SIGNATURES     (as JSON on the standard output)
"""

import hashlib
import importlib
import json
import pickle
import pkgutil
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher

import gliodex.simulate
from gliodex.simulate import FORMS, FisherKolmogorov, GrowthParameters, MassEffect, MassEffectSettings, Prior
from gliodex.simulate.kernels import grow_logistic, spread
from gliodex.simulate.prior import tissue_voxels
from gliodex.simulate.rkc import scheme
from gliodex.simulate.snapshots import snapshot_shares
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

FUSED = re.compile(r"\b(v?fn?m(add|sub)\w*|v?rcp\w*|v?rsqrt\w*|fn?m(la|ls|add|sub)|f(recp|rsqrt)\w*)\b")
"""Fused multiply-adds and approximate reciprocals of x86 and ARM."""


def stage_cases():
    """Boxes whose rows' parts begin anywhere and are of any length, with and without growth and a base."""
    rng, shape = np.random.default_rng(12), (10, 9, 83)
    u, base = rng.random((2, *shape), dtype=np.float32)
    faces = [rng.random(shape, dtype=np.float32) for _ in range(3)]
    first, stop = np.zeros((2, *shape[:2]), np.int32)
    lengths = rng.permutation(np.arange(8 * 7) + 1).reshape(8, 7)  # every one up to three AVX-512 registers and more
    first[1:-1, 1:-1] = rng.integers(0, shape[2] - lengths, endpoint=True)
    stop[1:-1, 1:-1] = first[1:-1, 1:-1] + lengths
    for onto in (np.float32(0), np.float32(1)):
        for growth in (np.float32(1), np.float32(1.3)):
            yield u, base, faces, first, stop, np.float32(0.13), onto, growth


def stage(case):
    """Make the stage of a case."""
    u, base, faces, first, stop, diffusion, onto, growth = case
    out = base.copy()
    spread(u, out, *faces, (0, 0, 0), first, stop, (0, u.shape[0], 0, u.shape[1]), diffusion, onto, growth)
    return out


def grown_in_place(case):
    """Let the density of a case grow where the rows have a part."""
    u, _, _, first, stop, _, _, _ = case
    out = u.copy()
    grow_logistic(out, first, stop, np.float32(1.3))
    return out


def digest(*arrays):
    """The bits of arrays, in short."""
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def small_brain():
    """A ragged ball of random tissue fractions."""
    shape = (26, 24, 37)
    rng = np.random.default_rng(5)
    white, grey, csf = np.moveaxis(rng.dirichlet([1.0, 1.0, 0.4], size=shape), -1, 0).astype(np.float32)
    offsets = [(g - (n - 1) / 2) / (n / 2) for g, n in zip(np.indices(shape), shape, strict=True)]
    inside = sum(o * o for o in offsets) < 0.9
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    return Atlas("ball", Frame(shape, affine), white * inside, grey * inside, csf * inside, white * inside)


def tumours():
    """Digests of what a store is made of: draws, seeds, and grown tumours."""
    atlas = small_brain()
    draws = [Prior(mass_effect=(0.0, 1e4)).draw(atlas, tissue_voxels(atlas), 3, n) for n in range(50)]
    still = FisherKolmogorov(atlas)
    parameters = GrowthParameters((25.3, 22.9, 36.1), 0.13, 0.021, 260.0)
    grown = still.grow(parameters, snapshots=(0.6,))
    pushed = [
        MassEffect(atlas, MassEffectSettings(form=form, pushes=3)).grow(replace(parameters, mass_effect=9000.0))
        for form in FORMS
    ]
    assert 0.5 < grown.density.max() <= 1
    assert all(np.abs(grown.full() - one.full()).max() > 0.01 for one in pushed)
    return {
        "draws": digest(np.array([[*d.seed_mm, d.diffusivity, d.proliferation, d.duration] for d in draws])),
        "schemes": digest(*(scheme(n).weights for n in (2, 4, 6, 8)), [scheme(n).reach for n in (2, 4, 6, 8)]),
        "snapshots": digest([snapshot_shares(4, 1, n) for n in range(50)]),
        "seeds": digest(*(still.seed_density(d.seed_mm)[1] for d in draws)),
        "tumour": digest(grown.density, grown.snapshots[0].density),
        "pushing tumours": digest(*(one.density for one in pushed), [one.least_jacobian for one in pushed]),
    }


def kernels():
    """All functions of the growth models that numba has been told to compile, by name."""
    found = {}
    for module in pkgutil.walk_packages(gliodex.simulate.__path__, "gliodex.simulate."):
        if re.search(r"\.cuda|\.batched", module.name):  # of GPUs
            continue
        members = vars(importlib.import_module(module.name)).values()
        found |= {f"{one.__module__}.{one.__name__}": one for one in members if isinstance(one, Dispatcher)}
    return found


@njit(fastmath={"contract", "arcp"})
def contracted(a, b, c):
    """What must be seen as fused where the processor can do it."""
    return a * b + c


def machine_code():
    """Which kernels were compiled, and which of them have fused operations."""
    code = {name: "".join(one.inspect_asm().values()) for name, one in kernels().items() if one.signatures}
    contracted.compile("float32(float32, float32, float32)")
    control = FUSED.search("".join(contracted.inspect_asm().values()))
    return {
        "kernels": sorted(code),
        "fused": {name: match[0] for name, text in code.items() if (match := FUSED.search(text))},
        "control": control[0] if control else None,
        "widest": max((r for r in ("xmm", "ymm", "zmm") if any(r in text for text in code.values())), default=None),
    }


def main(task, signatures):
    """Do a task."""
    result = {}
    if task == "stages":
        result = {"stages": digest(*map(stage, stage_cases())), "growth": digest(grown_in_place(next(stage_cases())))}
    elif task == "tumours":
        result = tumours()
        known = {name: [tuple(s) for s in one.signatures] for name, one in kernels().items()}
        signatures.write_bytes(pickle.dumps(known))
    else:
        for name, known in pickle.loads(signatures.read_bytes()).items():
            for signature in known:
                kernels()[name].compile(signature)
    sys.stdout.write(json.dumps(result | machine_code()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
