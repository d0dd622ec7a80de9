"""What a tumour that pushes costs beside one that does not, how far it pushes, and how exact that is.

    python benchmarks/mass_effect.py STORE [--tumours 40] [--converged 12]

STORE was built with `--model mass-effect`; its first tumours are grown again, with their mass effect and without.
Times are a processor's, one core. How exact: against 100 pushes, a sharper elastic solve and finer time steps.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from record import keep

import gliodex
from gliodex.simulate import MassEffectSettings, model_in, model_of, settings_of, without_mass_effect

mpl.use("Agg")
PICTURE = Path(__file__).parent.parent / "docs" / "pushed.png"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--tumours", type=int, default=40)
parser.add_argument("--converged", type=int, default=12)
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
settings = settings_of(store.manifest.model, store.path, "")
assert isinstance(settings, MassEffectSettings), "build a store with --model mass-effect"
tumours = [store.parameters(n) for n in store.ids[: arguments.tumours].tolist()]
pushing, still = model_of(store, ""), model_in(store.atlas, without_mass_effect(settings))


def milliseconds(solver, tumour) -> float:
    begun = time.thread_time()
    solver.grow(tumour)
    return 1e3 * (time.thread_time() - begun)


def dice(a: np.ndarray, b: np.ndarray, level: float) -> float:
    a, b = a >= np.float32(level), b >= np.float32(level)
    return 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


def picture(tumour) -> None:
    """Draw a plane of the brain before and after, and how far it was pushed."""
    moved, density = pushing.deform(tumour), pushing(tumour)
    before = store.atlas.white + 0.6 * store.atlas.grey + 0.1 * store.atlas.csf
    after = moved.white + 0.6 * moved.grey + 0.1 * moved.csf
    far = np.linalg.norm(moved.displacement_mm, axis=-1)
    z = int(far.max(axis=(0, 1)).argmax())
    seen = np.argwhere(store.atlas.brain[..., z])
    (x, y), (x_end, y_end) = seen.min(axis=0) - 2, seen.max(axis=0) + 3
    plane = (slice(x, x_end), slice(y, y_end), z)
    figure = Figure(figsize=(9.6, 4.3), layout="constrained")
    axes = figure.subplots(1, 3)
    titles = (
        "a tumour that pushes nothing",
        f"one that pushes with {tumour.mass_effect / 1000:.0f} kPa",
        "displacement",
    )
    shown = ((before, still(replace(tumour, mass_effect=0.0))), (after, density))
    for ax, (tissue, grown) in zip(axes, shown, strict=False):
        ax.imshow(tissue[plane].T, origin="lower", cmap="gray", vmin=0, vmax=1.1)
        ax.contour(grown[plane].T, [0.2, 0.6], colors=("#56b4e9", "#e69f00"), linewidths=1.3)
    image = axes[2].imshow(np.where(store.atlas.brain, far, np.nan)[plane].T, origin="lower", cmap="viridis")
    i, j = np.mgrid[2 : x_end - x : 5, 2 : y_end - y : 5]
    u, v = (moved.displacement_mm[(*plane, axis)][i, j] / store.frame.spacing[axis] for axis in (0, 1))
    axes[2].quiver(i, j, u, v, color="white", angles="xy", scale_units="xy", scale=1, width=0.005)
    figure.colorbar(image, ax=axes[2], label="mm", shrink=0.7)
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, loc="left", fontsize=10)
        ax.axis("off")
    figure.savefig(PICTURE, dpi=110)


without = [replace(tumour, mass_effect=0.0) for tumour in tumours]
for solver, tumour in ((pushing, tumours[0]), (still, without[0])):
    milliseconds(solver, tumour)  # compiled, and memory laid out
times = np.array([[milliseconds(pushing, a), milliseconds(still, b)] for a, b in zip(tumours, without, strict=True)])
moved, volumes, jacobians = [], [], []
for tumour, plain in zip(tumours, without, strict=True):
    deformation, run = pushing.deform(tumour), pushing.grow(tumour)
    moved.append(float(np.linalg.norm(deformation.displacement_mm, axis=-1).max()))
    jacobians.append(run.least_jacobian)
    volumes.append(np.count_nonzero(run.density >= 0.2) / max(np.count_nonzero(still(plain) >= 0.2), 1))
    print(len(moved), round(moved[-1], 1), round(volumes[-1], 2), flush=True)

picture(tumours[int(np.argmax(moved))])

fine = replace(settings.growth, growth_per_step=0.15, diffusion_number=0.5)
exact = model_in(store.atlas, replace(settings, growth=fine, pushes=100, tolerance=1e-4))
ways = {
    "default": settings,
    "half the pushes": replace(settings, pushes=settings.pushes // 2),
    "twice the pushes": replace(settings, pushes=2 * settings.pushes),
    "elastic cells of one voxel": replace(settings, voxels_a_cell=1),
}
scores: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
for tumour in tumours[: arguments.converged]:
    truth = exact(tumour)
    for way, choice in ways.items():
        found = model_in(store.atlas, choice)(tumour)
        scores[way].append((dice(found, truth, 0.2), dice(found, truth, 0.6)))
    print("converged", len(scores["default"]), scores["default"][-1], flush=True)
quantiles = (0.05, 0.5, 0.95, 1.0)
keep(
    "mass_effect",
    {
        "tumours": len(tumours),
        "mean_ms": round(float(times[:, 0].mean()), 1),
        "mean_ms_without": round(float(times[:, 1].mean()), 1),
        "ratio_of_means": round(float(times[:, 0].mean() / times[:, 1].mean()), 1),
        "displacement_mm": dict(zip(map(str, quantiles), np.quantile(moved, quantiles).round(1).tolist(), strict=True)),
        "volume_ratio": dict(zip(map(str, quantiles), np.quantile(volumes, quantiles).round(2).tolist(), strict=True)),
        "least_jacobian": round(min(jacobians), 3),
        "converged": arguments.converged,
        "rows": {way: np.mean(values, axis=0).round(4).tolist() for way, values in scores.items()},
    },
    f"python benchmarks/mass_effect.py STORE --tumours {arguments.tumours} --converged {arguments.converged}",
)
