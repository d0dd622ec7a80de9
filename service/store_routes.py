"""Routes about stores: what they hold, their tumours, and searches that are answered at once."""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ..index import METHODS, what_is_missing
from ..index.protocol import Hits
from ..store.integers import level_of
from ..store.nifti import as_bytes
from ..store.parameters import UNITS
from .context import Context
from .problems import RefusedError, unusable
from .shelf import Open

StoreName = Annotated[str | None, Query(description="Name of the store; may be left out where there is one.")]


_GROWN = {
    "seed_mm": [52.1, -18.4, -6.0],
    "diffusivity": 0.638,
    "proliferation": 0.0965,
    "duration": 212.0,
    "mass_effect": 0.0,
}


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class StoreFacts(BaseModel):
    """What a store is."""

    model_config = _example(
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


class Match(BaseModel):
    """A tumour like the one that was asked for."""

    rank: int
    id: int
    score: float = Field(description="Dice of core and whole, summed: 0 to 2.")
    dice_core: float
    dice_whole: float
    parameters: dict[str, Any] | None = Field(description="What it grew with, in `units`; null where nobody knows.")


class Matches(BaseModel):
    """Answer of a search."""

    model_config = _example(
        store="brain",
        version=264,
        matches=[
            {"rank": 1, "id": 49663, "score": 1.671, "dice_core": 0.827, "dice_whole": 0.844, "parameters": _GROWN}
        ],
        units=UNITS,
    )

    store: str
    version: int
    matches: list[Match]
    units: dict[str, str] = UNITS


class Tumour(BaseModel):
    """A tumour of a store."""

    model_config = _example(
        id=49663,
        parameters=_GROWN,
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

    @router.post(
        "/search",
        response_model=Matches,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def search(
        request: Request,
        store: StoreName = None,
        k: Annotated[int, Query(ge=1, le=1000, description="How many matches.")] = 15,
    ) -> Response:
        """Search for two masks on the store's frame, exactly, and answer at once.

        The body holds the bits of the core and then those of the whole, each voxel one bit in C order of (x, y, z),
        most significant first, as `numpy.packbits` makes them; it may be sent with `Content-Encoding: deflate` or gzip.
        """
        one = context.shelf[store]
        body = await _body(request, 2 * _mask_bytes(one))
        encoding = request.headers.get("content-encoding", "identity").lower()
        return Response(await context.search(_found, one, body, encoding, k), media_type="application/json")

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
        parameters=_parameters(one, number),
        provenance=store.provenance(number),
        volumes_ml={
            name: float(np.count_nonzero(integers >= level_of(level)) * store.frame.voxel_ml)
            for name, level in store.thresholds.items()
        },
    )


def _found(one: Open, body: bytes, encoding: str, k: int) -> str:
    core, whole = _packed(one, body, encoding)
    if not (core.any() or whole.any()):
        raise unusable("both masks are empty: there is nothing to search for", "body")
    hits: Hits = one.index.search_packed(core, whole, k)
    numbers = (column.tolist() for column in (hits.ids, hits.scores, hits.dice_core, hits.dice_whole))
    matches = [
        {
            "rank": rank,
            "id": tumour,
            "score": score,
            "dice_core": core_dice,
            "dice_whole": whole_dice,
            "parameters": _parameters(one, tumour),
        }
        for rank, (tumour, score, core_dice, whole_dice) in enumerate(zip(*numbers, strict=True), 1)
    ]
    return json.dumps({"store": one.name, "version": one.store.version, "matches": matches, "units": UNITS})


def _parameters(one: Open, number: int) -> dict[str, Any] | None:
    known = one.store.known_parameters(number)
    return None if known is None else known.as_record()


def _mask_bytes(one: Open) -> int:
    return -(-int(np.prod(one.store.frame.shape)) // 8)


async def _body(request: Request, most: int) -> bytes:
    """Receive a body, no further than it may be long; what cannot be packed grows a little.

    Raises:
        RefusedError: it is longer.
    """
    most += most // 100 + 1024
    pieces, received = [], 0
    async for piece in request.stream():
        received += len(piece)
        if received > most:
            raise RefusedError(413, "too large", f"the body may have {most:,} bytes: see the store's frame", "body")
        pieces.append(piece)
    return b"".join(pieces)


def _packed(one: Open, body: bytes, encoding: str) -> NDArray[np.uint8]:
    """Decompress both masks, no further than their size; their bits, (2, bytes).

    Raises:
        RefusedError: the body has another size, or encoding.
    """
    each = _mask_bytes(one)
    if encoding in _WINDOWS:
        decoder = zlib.decompressobj(_WINDOWS[encoding])
        try:
            body = decoder.decompress(body, 2 * each + 1)
        except zlib.error as error:
            raise unusable(f"the body is no {encoding} data: send it again", "body") from error
        if not decoder.eof and len(body) <= 2 * each:
            raise unusable(f"the body's {encoding} data are cut short: send it again", "body")
    elif encoding != "identity":
        raise unusable(f"the content encoding {encoding} is not known: send deflate or gzip", "body", 415)
    if len(body) != 2 * each:
        raise unusable(
            f"the body must hold {2 * each:,} bytes, {each:,} of each mask: see the frame of {one.name}",
            "body",
        )
    return np.frombuffer(body, np.uint8).reshape(2, each)


_WINDOWS = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}
