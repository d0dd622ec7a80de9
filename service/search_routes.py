"""The route of searches that are answered at once: two masks in, matches out."""

from __future__ import annotations

import json
import zlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from ..index.protocol import Hits
from ..store.parameters import UNITS
from .context import Context
from .problems import RefusedError, unusable
from .store_registry import Open
from .store_routes import GROWN, StoreName, example


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

    model_config = example(
        store="brain",
        version=264,
        matches=[
            {"rank": 1, "id": 49663, "score": 1.671, "dice_core": 0.827, "dice_whole": 0.844, "parameters": GROWN}
        ],
        units=UNITS,
    )

    store: str
    version: int
    matches: list[Match]
    units: dict[str, str] = UNITS


def search_routes(context: Context) -> APIRouter:
    """Make this route."""
    router = APIRouter(prefix="/v1", tags=["stores"])

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
            "parameters": one.parameters(tumour),
        }
        for rank, (tumour, score, core_dice, whole_dice) in enumerate(zip(*numbers, strict=True), 1)
    ]
    return json.dumps({"store": one.name, "version": one.store.version, "matches": matches, "units": UNITS})


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
            raise RefusedError(
                413, "too large", f"the body may have {most:,} bytes", "body", hint="see the store's frame"
            )
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
            raise unusable(f"the body is no {encoding} data", "body", hint="send it again") from error
        if not decoder.eof and len(body) <= 2 * each:
            raise unusable(f"the body's {encoding} data are cut short", "body", hint="send it again")
    elif encoding != "identity":
        raise unusable(f"the content encoding {encoding} is not known", "body", 415, hint="send deflate or gzip")
    if len(body) != 2 * each:
        raise unusable(
            f"the body must hold {2 * each:,} bytes, {each:,} of each mask", "body", hint=f"see the frame of {one.name}"
        )
    return np.frombuffer(body, np.uint8).reshape(2, each)


_WINDOWS = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}
