"""Spaces that need no registration: the atlas's own, and SRI24 through numbers computed once."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np

from ....errors import InputError
from ....store.atlas import Atlas
from ....store.frame import Frame
from ..choices import Space
from ..transforms import AffineMap

_IN_MNI152 = "icbm152"  # the atlas whose world is MNI152: its forms differ from one another by a few mm


def space_map(space: Space, atlas: Atlas) -> AffineMap:
    """Correspondence between a named space and the atlas.

    Args:
        space: "atlas", where world coordinates are the atlas's; "mni152", the space of BraTS since 2024, which is that
            of icbm152; "sri24", the space of BraTS up to 2023, which aligns patients to SRI24 rigidly: sizes of
            individual brains stay as they are.
        atlas: of the store.

    Raises:
        InputError: no numbers are kept between SRI24 and this atlas.
    """
    if space in {"atlas", atlas.name} or (space == "mni152" and atlas.name == _IN_MNI152):
        return AffineMap(np.eye(4), {"kind": "identity", "space": space})
    kept = files(__package__) / f"{space}_to_{atlas.name}.json"
    if not kept.is_file():
        raise InputError(
            f"no transform is known between {space} and the atlas {atlas.name}",
            hint="give a T1 with ‹t1›, or masks in the atlas's own space with ‹space=atlas›",
        )
    record = json.loads(kept.read_text())
    if not atlas.frame.same_as(Frame.from_record(record["atlas_frame"])):
        raise InputError(
            f"the transform from {space} was made for another {atlas.name} than this store's (its frame differs)",
            hint="give a T1 with ‹t1›",
        )
    matrix = np.array(record["patient_from_atlas_mm"])
    return AffineMap(matrix, {"kind": "affine", "space": space, "made_by": record["made_by"]})
