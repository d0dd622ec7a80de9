"""The example that the page offers: a synthetic patient, made when it is first asked for."""

from __future__ import annotations

import threading
from pathlib import Path

from ..retrieval.synthetic_patient import make_patient
from ..store.atlas import Atlas

_SEED = 1


class Example:
    """A patient in a folder.

    Args:
        atlas: whose anatomy is deformed.
        folder: where it is kept; made when it is needed.
    """

    def __init__(self, atlas: Atlas, folder: Path) -> None:
        self._atlas, self._folder = atlas, folder
        self._lock = threading.Lock()

    def file(self, name: str) -> Path:
        """Path of its `seg` or `t1`."""
        path = self._folder / f"{name}.nii.gz"
        with self._lock:
            if not (self._folder / "done").exists():
                make_patient(self._atlas, _SEED).save(self._folder)
                (self._folder / "done").touch()
        return path
