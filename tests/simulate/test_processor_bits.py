"""A cell has the same bits in any loop, on any processor: other ones are imitated, in processes of their own."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from .processor_bits import FUSED, digest, grown_in_place, stage, stage_cases

SCRIPT = Path(__file__).with_name("processor_bits.py")

PROCESSORS = {
    # name: LLVM's name, features, register that its loops fill
    "SSE2": ("x86-64", "+sse2", "xmm"),
    "AVX": ("x86-64", "+avx,+avx2", "ymm"),
    "AVX2 and FMA": ("x86-64-v3", "+avx2,+fma", "ymm"),
    "AVX-512": ("x86-64-v4", "+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd,-prefer-256-bit", "zmm"),
}

x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="imitates x86 processors")


def can_run(name):
    has = binding.get_host_cpu_features()
    return all(has.get(feature[1:], False) for feature in PROCESSORS[name][1].split(",") if feature[0] == "+")


def on_processor(name, folder, task, signatures="none"):
    """What `processor_bits.py` prints where numba, numpy, BLAS and the C library take the processor for another."""
    cpu, features, _ = PROCESSORS[name]
    imitated = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(folder)}
    if name == "SSE2":
        imitated |= {
            "NPY_DISABLE_CPU_FEATURES": " ".join(np.show_config(mode="dicts")["SIMD Extensions"]["found"]),
            "OPENBLAS_CORETYPE": "Prescott",
            "OPENBLAS_NUM_THREADS": "1",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        }
    command = [sys.executable, SCRIPT, task, signatures]
    ran = subprocess.run(command, env=os.environ | imitated, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def assert_nothing_fused(name, found):
    _, features, register = PROCESSORS[name]
    assert found["fused"] == {}
    assert bool(found["control"]) == ("+fma" in features)  # it would have been seen
    assert found["widest"] == register


def by_hand(case):
    """A stage in numpy, whose operations are made one at a time, in the order of the kernel's."""
    u, base, (fx, fy, fz), first, stop, diffusion, onto, growth = case
    out, inner, one = base.copy(), (slice(1, -1),) * 3, np.float32(1)

    def beside(values, axis, by):
        return np.roll(values, -by, axis)[inner]

    at, flux = u[inner], np.float32(0)
    for axis, face in enumerate((fx, fy, fz)):
        flow = face[inner] * (beside(u, axis, 1) - at)
        flux = flow if axis == 0 else flux + flow
        flux = flux - beside(face, axis, -1) * (at - beside(u, axis, -1))
    made = (base[inner] if onto else at) + diffusion * flux
    if growth != 1:
        inside = np.minimum(np.maximum(made, np.float32(0)), one)
        made = inside * growth / (one + inside * (growth - one))
    z = np.arange(u.shape[2])
    part = ((z >= first[..., None]) & (z < stop[..., None]))[inner]
    out[inner][part] = made[part]
    return out


@pytest.mark.parametrize("number", range(4), ids=["of itself", "grown", "onto another", "onto another, grown"])
def test_a_stage_has_the_bits_of_single_operations(number):
    """Rows' parts lie within the sides of the box, where the neighbours by flat index are those in space."""
    case = list(stage_cases())[number]
    u, base, _, first, stop, *_ = case
    inside = stop > first
    first[inside], stop[inside] = np.clip(first[inside], 1, None), np.clip(stop[inside], None, u.shape[2] - 1)
    found = stage(case)
    assert ((found != base).sum(axis=2) > 0)[inside].mean() > 0.9
    assert len({*(stop - first)[inside]}) > 40
    np.testing.assert_array_equal(found, by_hand(case))


def test_growth_has_the_bits_of_single_operations():
    case = next(stage_cases())
    u, _, _, first, stop, *_ = case
    growth, one, z = np.float32(1.3), np.float32(1), np.arange(u.shape[2])
    part = (z >= first[..., None]) & (z < stop[..., None])
    grown = u * growth / (one + u * (growth - one))
    np.testing.assert_array_equal(grown_in_place(case), np.where(part, grown, u))


@x86
def test_a_stage_has_the_same_bits_on_the_oldest_processor(tmp_path):
    found = on_processor("SSE2", tmp_path, "stages")
    assert found["stages"] == digest(*map(stage, stage_cases()))
    assert found["growth"] == digest(grown_in_place(next(stage_cases())))
    assert_nothing_fused("SSE2", found)


@x86
@pytest.mark.skipif(not can_run("AVX2 and FMA"), reason="this processor has no fused multiply-add to leave out")
def test_a_stage_is_compiled_without_fused_operations_where_there_are_any(tmp_path):
    found = on_processor("AVX2 and FMA", tmp_path, "stages")
    assert found["stages"] == digest(*map(stage, stage_cases()))
    assert_nothing_fused("AVX2 and FMA", found)


@x86
@pytest.mark.slow
def test_tumours_have_the_same_bits_at_every_width_and_no_kernel_has_fused_operations(tmp_path):
    signatures, digests = tmp_path / "signatures", {}
    for name in PROCESSORS:
        task = "tumours" if can_run(name) else "compile"
        found = on_processor(name, tmp_path / name, task, signatures)
        assert_nothing_fused(name, found)
        assert len(found["kernels"]) > 25
        if task == "tumours":
            digests[name] = {key: value for key, value in found.items() if len(value or "") == 64}
    assert len(digests) >= 1
    assert len(next(iter(digests.values()))) == 6
    assert all(one == digests["SSE2"] for one in digests.values()), digests


def test_fused_operations_are_known_by_name():
    seen = "vfmadd231ps vfnmsub132ss vfmaddsub213pd vrcpps rcpss vrcp14ps vrsqrtss fmla fmadd fnmsub frecpe"
    assert all(FUSED.fullmatch(one) for one in seen.split())
    others = "vmulps vaddps vsubss vdivps fmul fadd fsub fmov vminps memset"
    assert not FUSED.search(others)
