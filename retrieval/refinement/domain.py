"""Where a stage simulates: an anatomy, and what the patient's images show on its grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import Hits
from ...learn.surrogate import SurrogateFile, SurrogateSolver
from ...simulate import GrowthSolver, model_in, pushes, settings_of
from ...store.atlas import Atlas
from ...store.parameters import GrowthParameters
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from ..imaging.segmentation import Segmentation
from ..imaging.tissue import Tissue
from ..imaging.transforms import AffineMap, SpatialMap, mask_to_atlas
from .anatomy import cropped, grid_around, patient_anatomy, points_to_patient
from .refinement_options import SimulationSpace

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Site:
    """Where a stage simulates.

    Args:
        space: whose mm seeds are in.
        solver: of the anatomy, `solver.atlas`, or what stands in for it.
        core, whole: masks on its frame; the core lies inside the whole.
        pet: on its frame, or None.
        mass_effect: what stages take it to be that do not search it, Pa: that of the best match whose growth is known.
    """

    space: SimulationSpace
    solver: GrowthSolver
    core: Mask
    whole: Mask
    pet: NDArray[np.float32] | None
    mass_effect: float = 0.0

    @property
    def atlas(self) -> Atlas:
        """Anatomy that tumours grow in."""
        return self.solver.atlas

    @property
    def whole_ml(self) -> float:
        """Volume of the whole tumour."""
        return float(np.count_nonzero(self.whole)) * self.atlas.frame.voxel_ml


def site_of(
    store: TumorStore,
    patient: Patient,
    where: SimulationSpace,
    surrogate: SurrogateFile | None = None,
    device: str = "cpu",
    hits: Hits | None = None,
) -> Site:
    """Prepare an anatomy to simulate in, and bring the images there.

    Args:
        store: whose growth model is simulated.
        patient: whose images.
        where: "patient" is the patient's own tissue where it is known, else the atlas's carried to the patient.
        surrogate: to stand in for the solver.
        device: that it runs on.
        hits: of retrieval, the best first.

    Raises:
        InputError: the store is of another growth model, the surrogate does not fit, or nothing of the tumour lies in
            the anatomy.
    """
    segmentation, spatial = patient.segmentation, patient.spatial
    grid = segmentation.frame
    if where == "atlas":
        atlas, to_here = store.atlas, spatial
    else:
        to_here = _SAME
        atlas = (
            _own(patient.tissue, store, segmentation) if patient.tissue else patient_anatomy(store.atlas, spatial, grid)
        )
    core = mask_to_atlas(to_here, segmentation.core, grid, atlas.frame)
    whole = mask_to_atlas(to_here, segmentation.whole, grid, atlas.frame) | core
    if not (whole & atlas.tissue).any():
        raise InputError(
            f"no part of the tumour lies in the tissue of {atlas.name}", hint="look at how the patient was placed"
        )
    pet = None
    if patient.pet is not None:  # at its border, what is interpolated with what is not known stays unknown
        known = to_here.to_atlas((patient.pet > 0).astype(np.float32), grid, atlas.frame) > _KNOWN
        pet = np.clip(to_here.to_atlas(patient.pet, grid, atlas.frame), 0.0, 1.0) * known
    settings = settings_of(store.manifest.model, store.path, "leave out ‹refine›")
    solver: GrowthSolver = model_in(atlas, settings)
    if surrogate is not None:
        solver = SurrogateSolver(atlas, surrogate, settings, device)
    mass_effect = _of_best(store, hits) if hits is not None and pushes(store.manifest.model) else 0.0
    return Site(where, solver, core, whole, pet, mass_effect)


def check_model(store: TumorStore, surrogate: SurrogateFile | None = None, device: str = "cpu") -> None:
    """Refuse a store whose growth model cannot be simulated, or that a surrogate does not stand in for.

    Raises:
        InputError: it is so.
    """
    settings = settings_of(store.manifest.model, store.path, "leave out ‹refine›")
    if surrogate is not None:
        SurrogateSolver(store.atlas, surrogate, settings, device)


def _of_best(store: TumorStore, hits: Hits) -> float:
    known = (store.known_parameters(int(tumour)) for tumour in hits.ids)
    best = next((parameters for parameters in known if parameters is not None), None)
    if best is None:
        raise InputError(
            f"none of the {len(hits)} best matches of {store.path} has a known mass effect",
            hint="take ‹refine=local› or lmi, which search it, or leave out ‹refine›",
        )
    return best.mass_effect


def surrogate_doubts(surrogate: SurrogateFile | None) -> tuple[str, ...]:
    """Say that the solver was not asked, and within which growth its surrogate was."""
    if surrogate is None:
        return ()
    low, high = surrogate.ranges.low, surrogate.ranges.high
    within = ", ".join(f"{a:.3g} to {b:.3g}" for a, b in zip(low, high, strict=True))
    return (
        f"densities are a surrogate's ({surrogate.path.name}), not the solver's; growth beyond what it has learned "
        f"({surrogate.ranges.names}: {within}) was taken for impossible",
    )


def pushing_doubts(site: Site) -> tuple[str, ...]:
    """Say that the mass effect was not searched."""
    if not pushes(site.solver.settings.as_record()):
        return ()
    return (
        f"the mass effect was taken to be that of the best match whose growth is known, {site.mass_effect:,.0f} Pa, "
        "and not searched",
    )


def matches_at(
    site: Site, store: TumorStore, hits: Hits, spatial: SpatialMap, most: int
) -> tuple[tuple[int, ...], list[GrowthParameters]]:
    """Bring the best matches whose growth is known to where a stage simulates: their ids and parameters, best first.

    Raises:
        InputError: none has known parameters.
    """
    known = {int(tumour): store.known_parameters(int(tumour)) for tumour in hits.ids}
    found = {tumour: p for tumour, p in known.items() if p is not None and p.mu1 > 0 and p.mu2 > 0}
    if not found:
        raise InputError(
            f"none of the {len(known)} best matches of {store.path} has known rates of growth",
            hint="leave out ‹refine›",
        )
    ids, parameters = tuple(found)[:most], list(found.values())[:most]
    if site.space == "atlas":
        return ids, parameters
    seeds = points_to_patient(np.array([p.seed_mm for p in parameters]), store.frame, spatial, site.atlas.frame)
    return ids, [replace(p, seed_mm=tuple(seed)) for p, seed in zip(parameters, seeds.tolist(), strict=True)]


def _own(tissue: Tissue, store: TumorStore, segmentation: Segmentation) -> Atlas:
    around = grid_around(segmentation.frame, float(np.mean(store.frame.spacing)))
    atlas = tissue.on(around)
    return cropped(atlas, atlas.white + atlas.grey > 0)


_SAME = AffineMap(np.eye(4), {})
_KNOWN = 0.999
