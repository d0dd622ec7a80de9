"""DICOM: a folder with one series, one file of it, or a segmentation; everything else is called what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ....errors import InputError
from ....store.image_bytes import is_folder
from ....store.image_format import KNOWN_FORMATS, find_format
from .dicom_headers import DicomFile, dicom_files, read_header
from .dicom_segmentation import read_segmentation
from .dicom_series import read_series
from .volume import Volume

_NO_VOXELS = {
    "RT Structure Set Storage": "an RTSTRUCT (contours, not voxels): write its structures as a label map first, "
    "for example with 3D Slicer",
    "RT Dose Storage": "an RTDOSE: give the image or the segmentation",
    "RT Plan Storage": "an RTPLAN: give the image or the segmentation",
    "Media Storage Directory Storage": "a DICOMDIR, a list of files: give the folder of one series",
}

_LISTED = 8


def read_dicom(path: Path) -> Volume:
    """Read a folder that holds one DICOM series or segmentation, or the one that a file belongs to.

    Localisers are passed over where there is something else.

    Args:
        path: folder, with its subfolders; or one file: a segmentation, an enhanced multi-frame image, or a slice of a
            series, whose other slices lie in the same folder.

    Raises:
        InputError: no series, several, one without a regular grid, or an object without voxels.
    """
    if is_folder(path):
        return _read_folder(path)
    header = read_header(path)
    if header.is_segmentation:
        return read_segmentation(path)
    if not header.is_image:
        raise InputError(f"{path} is {_called(header)}")
    if header.frames > 1:
        return read_series(path, [header])
    beside = dicom_files(path.parent, depth=0)
    return read_series(path, [file for file in beside if file.series == header.series and file.is_image] or [header])


def _read_folder(folder: Path) -> Volume:
    files = dicom_files(folder)
    if not files:
        raise InputError(f"{folder} is a folder without DICOM files: {_advice(folder)}")
    series = _by_series(file for file in files if file.is_image or file.is_segmentation)
    if not series:
        raise InputError(f"{folder} holds only {_called(files[0])}")
    planned = [group for group in series if not group[0].is_localizer] or series
    if len(planned) > 1 or (planned[0][0].is_segmentation and len(planned[0]) > 1):
        raise InputError(
            f"{folder} holds {_listed(planned)}", hint="give the folder, or one file, of the one that is meant"
        )
    group = planned[0]
    return read_segmentation(group[0].path) if group[0].is_segmentation else read_series(folder, group)


def _by_series(files: Iterable[DicomFile]) -> list[list[DicomFile]]:
    series: dict[tuple[str, bool], list[DicomFile]] = {}
    for file in files:
        series.setdefault((file.series, file.is_localizer), []).append(file)
    return list(series.values())


def _listed(series: list[list[DicomFile]]) -> str:
    lines = [
        f"{group[0].description!r} ({group[0].modality}, {len(group)} file{'s' * (len(group) > 1)})" for group in series
    ]
    more = f" and {len(lines) - _LISTED} more" if len(lines) > _LISTED else ""
    return f"{len(lines)} DICOM series: {', '.join(lines[:_LISTED])}{more}"


def _called(header: DicomFile) -> str:
    if header.samples > 1:
        return f"a colour picture in DICOM ({header.kind}): give the series that it was made from"
    return _NO_VOXELS.get(header.kind, f"a DICOM object without voxels in the patient ({header.kind or 'no kind'})")


def _advice(folder: Path) -> str:
    """Name an image file in the folder, which may be what was meant."""
    for path in sorted(folder.iterdir()):
        try:
            if path.is_file() and find_format(path):
                return f"give one image file of it, such as {path.name}"
        except InputError:
            continue
    return f"give a file in {KNOWN_FORMATS}, or the folder of a DICOM series"
