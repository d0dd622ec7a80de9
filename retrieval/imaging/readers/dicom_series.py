"""Voxels of a DICOM series, by dcm2niix or, where it fails, by SimpleITK; their grid is held against the headers.

dcm2niix (Li et al. 2016, J Neurosci Methods 264:47-56) knows what scanners write beside the standard. Both run as
processes of their own: what they print, a crash or a hostile file stays there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ....errors import InputError
from ....store.image_bytes import printable
from ....store.image_format import first_bytes
from ....store.nifti_file import open_nifti
from ....store.scratch import scratch_folder
from .dicom_geometry import SAME_PLACE_MM, SeriesGrid, corners, series_grid
from .dicom_headers import DicomFile, write_with_preamble
from .dicom_multiframe import read_multiframe
from .nifti_volume import read_nifti
from .volume import Volume

_TIMEOUT_S = 300.0
"""dcm2niix takes 0.1 s for 80 slices of 60 x 96, and some seconds for thousands of slices."""

_MEMORY_KB = 4 * 2**20
"""Address space of a converter; the slices themselves have at most 1.5 GiB."""

_WITH_SIMPLEITK = """
import sys, SimpleITK as sitk
sitk.ProcessObject.SetGlobalWarningDisplay(False)
sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
reader = sitk.ImageSeriesReader()
reader.SetFileNames(sys.stdin.buffer.read().decode("utf-8", "surrogateescape").split("\\0"))
reader.SetOutputPixelType(sitk.sitkFloat32)
sitk.WriteImage(reader.Execute(), sys.argv[1])
"""


def read_series(path: Path, files: list[DicomFile]) -> Volume:
    """Read the volume of one series.

    Args:
        path: that the user gave, for the messages and the result.
        files: of the series.

    Raises:
        InputError: its slices make no regular grid, or neither converter reads it.
    """
    grid = series_grid(path, files)
    if len(files) == 1:
        return replace(read_multiframe(files[0].path, grid), path=path)
    with scratch_folder() as folder:
        links = _link(grid.files, folder / "dicom")
        said = []
        for convert in (_dcm2niix, _simpleitk):
            made, words = convert(links, folder)
            volume = None if made is None else _in_place(made, grid)
            if volume is not None:
                return replace(volume, path=path, format="DICOM series")
            said.append(words)
    raise InputError(
        f"{path}: the series {files[0].description!r} cannot be converted ({'; '.join(said)})",
        hint="convert it to NIfTI with the scanner's or another tool",
    )


def _in_place(made: Path, grid: SeriesGrid) -> Volume | None:
    """Read a converted volume, or None where it does not lie where the headers put the slices."""
    try:
        if sorted(open_nifti(made).shape) != sorted(grid.frame.shape):
            return None
        volume = read_nifti(made)
    except InputError:
        return None
    apart = np.linalg.norm(corners(volume.frame)[:, None] - corners(grid.frame)[None], axis=2).min(axis=1)
    return volume if apart.max() <= SAME_PLACE_MM else None


def _link(files: list[Path], folder: Path) -> list[Path]:
    """Put the files of a series alone into a folder, named in their order; what lacks a preamble gets one."""
    folder.mkdir()
    links = [folder / f"{number:06d}.dcm" for number in range(len(files))]
    for file, link in zip(files, links, strict=True):
        if first_bytes(file)[128:132] == b"DICM":
            link.symlink_to(file.resolve())
        else:
            write_with_preamble(file, link)
    return links


def _dcm2niix(files: list[Path], folder: Path) -> tuple[Path | None, str]:
    if find_spec("dcm2niix") is None:
        return None, "dcm2niix is not installed"
    import dcm2niix

    target = folder / "dcm2niix"
    target.mkdir()
    options = ["-g", "i", "-z", "n", "-b", "n", "-x", "n", "-m", "y", "-f", "volume", "-o"]
    words = _run([dcm2niix.bin, *options, str(target), str(files[0].parent)], folder)
    made = sorted(target.glob("*.nii"))
    return (made[0] if len(made) == 1 else None), f"dcm2niix: {words if not made else f'{len(made)} volumes'}"


def _simpleitk(files: list[Path], folder: Path) -> tuple[Path | None, str]:
    if find_spec("SimpleITK") is None:
        return None, "SimpleITK is not installed"
    target = folder / "simpleitk.nii"
    words = _run([sys.executable, "-c", _WITH_SIMPLEITK, str(target)], folder, "\0".join(map(str, files)))
    return (target if target.exists() else None), f"SimpleITK: {words}"


def _run(command: list[str], folder: Path, text: str = "") -> str:
    """Run a converter under limits of memory and time.

    Returns:
        its last line that speaks of an error, for the message.
    """
    limited = ["/bin/sh", "-c", f'ulimit -v {_MEMORY_KB} 2>/dev/null; exec "$0" "$@"', *command]
    try:
        done = subprocess.run(
            limited,
            cwd=folder,
            input=text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "HOME": str(folder)},
        )
    except subprocess.TimeoutExpired:
        return f"no end after {_TIMEOUT_S:.0f} s"
    except OSError as error:
        return str(error.strerror)
    lines = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    told = [line.strip() for line in lines if "error" in line.lower()] or [f"exit {done.returncode}"]
    return printable(told[-1], 120)
