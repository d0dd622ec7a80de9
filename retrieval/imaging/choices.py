"""Choices of how a patient is read and placed in the atlas, by the names that options have."""

from __future__ import annotations

from typing import Literal

from ...errors import InputError

Space = Literal["sri24", "mni152", "atlas"]
SPACES: tuple[Space, ...] = ("sri24", "mni152", "atlas")
"""Spaces that need no registration, see `spaces.space_map`."""

Method = Literal["fast", "syn", "affine"]
"""Ways of registering: fast (default), syn (the papers' settings), affine."""

Strip = Literal["auto", "off", "deepbet", "registration"]
"""Whether and how the skull is removed: if there is one, as well as can be; never; or in one of two ways."""

Labels = tuple[int | str, ...] | None
"""Labels of a mask, by number or by the name that the file gives them; None where they are not said."""


def labels_of(parameter: str, text: str | None) -> Labels:
    """Read labels with commas between them, whole numbers or names; `none` for no core.

    Raises:
        InputError: a label is left out between the commas.
    """
    if text is None:
        return None
    if text.strip().lower() == "none" and parameter == "core_labels":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"‹{parameter}› takes labels with commas between them, for example 1,4, not `{text}`")
    return tuple(_value(part) for part in parts)


def _value(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text
