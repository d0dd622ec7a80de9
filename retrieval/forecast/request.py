"""One forecast from beginning to end: files in, files out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, plain
from ...simulate import DEFAULT_ATLAS, FisherKolmogorov, load_atlas
from ...store.atlas import Atlas
from ...store.frame import Frame
from ...store.nifti import load_image, save_image
from ...store.parameters import UNITS
from ..earlier_results import TRANSFORM_FILES
from ..imaging.alignment import Placement
from ..imaging.choices import Labels, Space
from ..imaging.patient import Patient
from ..imaging.segmentation import Segmentation, from_labels
from ..imaging.tissue import load_tissue
from ..imaging.transforms import AffineMap, mask_to_atlas
from ..outputs import DISCLAIMER, EXCEEDED, write_record
from ..personalization import Stopwatch
from ..refinement.anatomy import cropped, grid_around, patient_anatomy
from ..result_folder import inputs_of, refuse_overwriting, staged_folder
from .follow_up import FollowUp, Ranges, Scan, density_of_adc
from .model import SIMULATIONS, Forecast, forecast_growth


@dataclass(frozen=True)
class ForecastRequest:
    """What a user asks for; the fields are the options of `gliodex forecast`.

    Args:
        out: folder for the results.
        days: of the follow-up, after the first image.
        until: days after the first image to look at.
        seg: label map of the follow-up; or give both masks instead.
        core_mask, whole_mask: two separate masks.
        core_labels, whole_labels: labels of each mask in all segmentations.
        labels: name of their convention, instead.
        density: of the first image, in [0, 1], such as `density.nii.gz` of a query; or give the ADC.
        adc, adc_mask: apparent diffusion coefficient at the first image, and the whole tumour there.
        seen: day and label map of later scans, to compare with.
        wm, gm: maps of the patient's own tissue.
        t1, t1c: to register the atlas to, where there are no such maps.
        space: known space of the segmentation, instead of an image.
        transform: `transform` folder of an earlier query, instead of either.
        atlas: to carry to the patient where there are no maps.
        voxel_mm: of the grid to simulate on.
        ranges: of the numbers.
        simulations, rounds, seed: see `NeuralSettings`.
    """

    out: Path
    days: float
    until: tuple[float, ...]
    seg: Path | None = None
    core_mask: Path | None = None
    whole_mask: Path | None = None
    core_labels: Labels = None
    whole_labels: Labels = None
    labels: str | None = None
    density: Path | None = None
    adc: Path | None = None
    adc_mask: Path | None = None
    seen: tuple[tuple[float, Path], ...] = ()
    wm: Path | None = None
    gm: Path | None = None
    t1: Path | None = None
    t1c: Path | None = None
    space: Space | None = None
    transform: Path | None = None
    atlas: str = DEFAULT_ATLAS
    voxel_mm: float = 2.0
    ranges: Ranges = field(default_factory=Ranges)
    simulations: int = SIMULATIONS
    rounds: int = 4
    seed: int = 1


def run_forecast(
    request: ForecastRequest, announce: Callable[[str], None] = lambda what: None
) -> tuple[Forecast, dict[str, object]]:
    """Forecast, and write forecast.json, the maps of each day asked for, and forecast.png.

    Args:
        request: what to do.
        announce: told of each stage as it begins.

    Returns:
        The forecast and the content of forecast.json.

    Raises:
        GliodexError: anything the user can mend; nothing is written then.
    """
    from ...learn.npe.mixture_density import require_sbi
    from ...learn.npe.posterior_network import NeuralSettings

    placement = _checked(request)
    names, inputs = _files(request, placement), tuple(inputs_of(request))
    refuse_overwriting(request.out, names, inputs)
    require_sbi()
    settings = NeuralSettings(request.simulations, request.rounds, seed=request.seed)
    announce("reading")
    patient = Patient.from_files(
        seg=request.seg,
        core_mask=request.core_mask,
        whole_mask=request.whole_mask,
        t1=request.t1,
        t1c=request.t1c,
        core_labels=request.core_labels,
        whole_labels=request.whole_labels,
        labels=request.labels,
    )
    segmentation = patient.segmentation
    scans = [
        (day, from_labels(path, request.core_labels, request.whole_labels, request.labels))
        for day, path in request.seen
    ]
    with staged_folder(request.out, names, inputs) as folder:
        if placement is not None:
            patient = placement.place(patient, load_atlas(request.atlas), folder, Stopwatch(announce).stage)
        atlas = _anatomy(request, patient)
        initial = _initial(request, atlas)
        problem = FollowUp(
            FisherKolmogorov(atlas),
            initial,
            _scan(request.days, segmentation, atlas.frame),
            request.ranges,
        )
        later = [_scan(day, masks, atlas.frame) for day, masks in scans]
        found = forecast_growth(problem, request.until, settings, later, announce)
        announce("writing")
        record = record_of(found, patient)
        write_maps(found, segmentation.frame, folder)
        from .figure import draw_forecast  # matplotlib takes a second to import

        background = segmentation.frame.resample(atlas.t1, atlas.frame)
        draw_forecast(found, segmentation, background, folder / "forecast.png")
        write_record(record, folder, "forecast")
    return found, record


def record_of(found: Forecast, patient: Patient) -> dict[str, object]:
    """Everything about a forecast as plain values: the content of forecast.json."""
    posterior = found.posteriors[found.problem.scan.days]
    best = posterior.best
    return {
        "software": f"gliodex {version('gliodex')}",
        "notice": DISCLAIMER,
        "units": UNITS | {"volumes": "ml", "days": "day after the first image"},
        "settings": found.settings,
        "best": (best.parameters.as_record() if best.parameters else {})
        | {"thresholds": dict(zip(("core", "whole"), best.thresholds, strict=True)), "dice_sum": best.score},
        "credible_intervals": posterior.intervals(),
        "days": found.days.tolist(),
        "volumes_ml": {
            name: {key: values.tolist() for key, values in found.bands(name).items()} for name in ("core", "whole")
        },
        "compared": [
            {"day": one.day, "learned_from": one.learned_from}
            | {name: asdict(seen) | {"within": seen.within} for name, seen in one.outlines.items()}
            for one in found.compared
        ],
        "exceedance_level": EXCEEDED,
        "understood": patient.segmentation.understood,
        "diagnostics": found.diagnostics,
        "warnings": [plain(warning) for warning in (*patient.warnings, *found.doubts)],
        "draws": {name: values.tolist() for name, values in found.draws.items()},
        "seconds": round(found.seconds, 1),
    }


def write_maps(found: Forecast, grid: Frame, folder: Path) -> None:
    """Write what is to be expected on each day asked for, on a grid of the patient.

    Mean and standard deviation of the density, the probability that it exceeds `EXCEEDED`, and those of lying within
    the outline of core and whole.
    """
    frame = found.problem.solver.atlas.frame
    for day, posterior in found.posteriors.items():
        maps = posterior.maps(EXCEEDED)
        named = {"mean": maps.mean, "deviation": maps.deviation, "exceedance": maps.exceedance}
        named |= {name: found.chances(name, day) for name in ("core", "whole")}
        for name, values in named.items():
            there = np.clip(grid.resample(values, frame), 0.0, 1.0).astype(np.float32)
            save_image(folder / _map_file(name, day), there, grid, f"gliodex {name}, day {day:g}")


_MAPS = ("mean", "deviation", "exceedance", "core", "whole")


def _map_file(name: str, day: float) -> str:
    return f"{name}_day_{day:g}.nii.gz"


def _files(request: ForecastRequest, placement: Placement | None) -> frozenset[str]:
    """Name what is written, relative to the folder of the results."""
    days = {request.days, *request.until, *(day for day, _ in request.seen)}
    transform = TRANSFORM_FILES if placement is not None and placement.register else ()
    maps = (_map_file(name, day) for name in _MAPS for day in days)
    return frozenset({"forecast.json", "forecast.png", *maps, *transform})


def _checked(request: ForecastRequest) -> Placement | None:
    """Refuse what does not go together; how the patient lies in the atlas, None where its tissue is known."""
    masks = request.core_mask, request.whole_mask
    if (request.seg is None) == (masks == (None, None)) or (request.seg is None and None in masks):
        raise InputError("give the follow-up as ‹seg›, or as ‹core_mask› and ‹whole_mask›")
    if (request.density is None) == (request.adc is None):
        raise InputError("give the first image as ‹density›, or as ‹adc› with ‹adc_mask›")
    if (request.adc is None) != (request.adc_mask is None):
        raise InputError("‹adc› needs ‹adc_mask›, the whole tumour at the first image, and the other way round")
    if not 0 < request.voxel_mm < np.inf:
        raise InputError(f"‹voxel_mm› must be above 0, not {request.voxel_mm:g}")
    if not 0 < request.days < np.inf or not all(0 < day < np.inf for day in request.until):
        raise InputError("‹follow_up_day› and ‹forecast_days› are days after the first image, above 0")
    for day, path in request.seen:
        if not 0 < day < np.inf or day == request.days:
            raise InputError(
                f"‹validation_scan={day:g}›={path}: the day must be above 0, and another than the follow-up's"
            )
    if (request.wm is None) != (request.gm is None):
        raise InputError("give both ‹wm› and ‹gm›, or neither")
    others = request.t1, request.t1c, request.space, request.transform
    if request.wm is not None:
        if any(way is not None for way in others):
            raise InputError("‹wm› and ‹gm› are the anatomy", hint="leave out ‹t1›, ‹t1c›, ‹space› and ‹transform›")
        return None
    registered = request.t1 is not None or request.t1c is not None
    return Placement(registered, request.space, request.transform)


def _anatomy(request: ForecastRequest, patient: Patient) -> Atlas:
    """Take the patient's own tissue, or carry that of the atlas to the patient."""
    if request.wm is not None and request.gm is not None:
        tissue = load_tissue(request.wm, request.gm)
        atlas = tissue.on(grid_around(tissue.frame, request.voxel_mm, 0.0))
        return cropped(atlas, atlas.white + atlas.grey > 0)
    atlas = load_atlas(request.atlas)
    return patient_anatomy(atlas, patient.spatial, patient.segmentation.frame, request.voxel_mm)


def _initial(request: ForecastRequest, atlas: Atlas) -> NDArray[np.float32]:
    """Bring the first image to the anatomy's grid, averaging over what lies in each voxel."""
    if request.density is not None:
        image = load_image(request.density)
        values, path = np.asarray(image.data, np.float32), request.density
        if values.min() < 0 or values.max() > 1:
            raise InputError(f"{path} runs from {values.min():g} to {values.max():g}: a density lies in [0, 1]")
    else:
        assert request.adc is not None
        assert request.adc_mask is not None
        image, mask, path = load_image(request.adc), load_image(request.adc_mask), request.adc
        if not image.frame.same_as(mask.frame):
            raise InputError(f"{path} and {request.adc_mask} are on different grids", hint="resample one to the other")
        values = density_of_adc(np.asarray(image.data, np.float32), np.asarray(mask.data) > 0)
    finer = max(1, round(min(atlas.frame.spacing) / min(image.frame.spacing)))
    found = np.clip(atlas.frame.resample(values, image.frame, oversample=finer), 0.0, 1.0)
    if not (found[atlas.tissue] > 0).any():
        raise InputError(f"no part of {path} lies in the tissue", hint="look at how the images lie in the anatomy")
    return found


def _scan(day: float, segmentation: Segmentation, frame: Frame) -> Scan:
    core, whole = (
        mask_to_atlas(_SAME, mask, segmentation.frame, frame) for mask in (segmentation.core, segmentation.whole)
    )
    return Scan(day, core, whole | core)


_SAME = AffineMap(np.eye(4), {})
