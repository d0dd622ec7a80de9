"""Routes about stores: what they are, and their tumours."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from ..index import METHODS, what_is_missing
from ..store.nifti import as_bytes
from ..store.parameters import UNITS
from ..store.quantization import level_of
from .context import Context
from .store_registry import Open

StoreName = Annotated[str | None, Query(description="Name of the store; may be left out where there is one.")]

GROWN = {
    "seed_mm": [52.1, -18.4, -6.0],
    "diffusivity": 0.638,
    "proliferation": 0.0965,
    "duration": 212.0,
    "mass_effect": 0.0,
}
"""Parameters of a tumour, for examples."""


def example(**values: Any) -> ConfigDict:
    """Give a model an example in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class StoreFacts(BaseModel):
    """What a store is."""

    model_config = example(
        name="brain",
        version=264,
        tumours=50000,
        atlas="icbm152",
        model="fisher-kolmogorov 1",
        shape=[128, 128, 128],
        affine=[[2.0, 0, 0, -127.0], [0, 2.0, 0, -145.0], [0, 0, 2.0, -109.0], [0, 0, 0, 1]],
        thresholds={"core": 0.6, "whole": 0.2},
        methods=["dice", "ds64", "ds32"],
    )

    name: str
    version: int
    tumours: int
    atlas: str
    model: str
    shape: list[int] = Field(description="Voxels of its frame along x, y and z.")
    affine: list[list[float]] = Field(description="From voxel indices to mm, RAS+, 4 by 4.")
    thresholds: dict[str, float] = Field(description="Densities at the outlines of core and whole.")
    methods: list[str] = Field(description="Ways of searching that are ready.")


class Tumour(BaseModel):
    """A tumour of a store."""

    model_config = example(
        id=49663,
        parameters=GROWN,
        provenance={"kind": "prior", "campaign": "seed-0-1f0a2b3c"},
        volumes_ml={"core": 23.1, "whole": 46.2},
        units=UNITS,
    )

    id: int
    parameters: dict[str, Any] | None
    provenance: dict[str, Any]
    volumes_ml: dict[str, float]
    units: dict[str, str] = UNITS


def store_routes(context: Context) -> APIRouter:
    """Make these routes."""
    router = APIRouter(prefix="/v1", tags=["stores"])

    @router.get("/stores")
    def stores() -> list[StoreFacts]:
        """List all stores."""
        return [facts_of(one) for one in context.shelf]

    @router.get("/stores/{name}")
    def store(name: str) -> StoreFacts:
        """Tell what a store is."""
        return facts_of(context.shelf[name])

    @router.get("/tumors/{number}")
    def tumour(number: int, store: StoreName = None) -> Tumour:
        """Tell what is known of a tumour."""
        return tumour_of(context.shelf[store], number)

    @router.get(
        "/tumors/{number}/density",
        response_class=Response,
        responses={200: {"content": {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def density(number: int, store: StoreName = None) -> Response:
        """Send the density of a tumour on the store's frame, NIfTI."""
        one = context.shelf[store]
        content = await context.search(
            lambda: as_bytes(one.store.density(number), one.store.frame, "tumour cell density")
        )
        name = f"tumour-{number}.nii.gz"
        return Response(
            content, media_type="application/gzip", headers={"content-disposition": f'attachment; filename="{name}"'}
        )

    return router


def facts_of(one: Open) -> StoreFacts:
    """Tell what a store is."""
    store = one.store
    return StoreFacts(
        name=one.name,
        version=store.version,
        tumours=len(store),
        atlas=store.atlas.name,
        model=str(store.manifest.model["model"]),
        shape=list(store.frame.shape),
        affine=store.frame.affine.tolist(),
        thresholds=store.thresholds,
        methods=[name for name in METHODS if what_is_missing(store, name) is None],
    )


def tumour_of(one: Open, number: int) -> Tumour:
    """Tell what is known of a tumour.

    Raises:
        UnknownTumourError: there is none of that number.
    """
    store = one.store
    integers = store.integers(number)
    return Tumour(
        id=number,
        parameters=one.parameters(number),
        provenance=store.provenance(number),
        volumes_ml={
            name: float(np.count_nonzero(integers >= level_of(level)) * store.frame.voxel_ml)
            for name, level in store.thresholds.items()
        },
    )
