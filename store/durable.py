"""Folders and their entries, flushed to the disk: what is there survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def make_directories(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def sync_directory(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
