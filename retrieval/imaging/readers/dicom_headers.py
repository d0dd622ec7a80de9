"""Headers of DICOM files: what objects lie in a folder, and where the slices of a series lie in the patient."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from ....store.image_format import find_format

MAX_FILES = 20_000
"""Files that are looked at in a folder; a study of a head has hundreds to a few thousand."""

_DEPTH = 8

_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "Modality",
    "ImageType",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "PixelSpacing",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_SEGMENTATIONS = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}


@dataclass(frozen=True, eq=False)
class Slices:
    """Positions of one file's images: one, or those of the frames of a multi-frame file.

    Args:
        positions: (n, 3), centres of the first voxels in LPS mm.
        orientations: (n, 6), directions along a row, then along a column.
        spacings: (n, 2), mm between rows, then between columns.
    """

    positions: NDArray[np.float64]
    orientations: NDArray[np.float64]
    spacings: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DicomFile:
    """What the header of one DICOM file says.

    Args:
        path: of the file.
        kind: name of its SOP class, such as "MR Image Storage".
        instance: UID of the object: two files with one are copies.
        series: UID of its series.
        description: of the series, for people.
        modality: such as MR or SEG.
        image_type: such as ORIGINAL, PRIMARY, LOCALIZER.
        rows, columns, frames: of its images; 0 where it has none.
        samples: values a pixel; 3 for colour pictures.
        bits: allocated for a value.
        slices: where its images lie, or None where it does not say.
    """

    path: Path
    kind: str
    instance: str
    series: str
    description: str
    modality: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    samples: int
    bits: int
    slices: Slices | None

    @property
    def is_segmentation(self) -> bool:
        """Whether it is a DICOM-SEG."""
        return self.kind in {"Segmentation Storage", "Label Map Segmentation Storage"}

    @property
    def is_image(self) -> bool:
        """Whether it has pixels of one value that lie in the patient."""
        return self.rows > 0 and self.columns > 0 and not self.is_segmentation and self.samples == 1

    @property
    def is_localizer(self) -> bool:
        """Whether it is a scout, by which the other series were planned."""
        return "LOCALIZER" in self.image_type


def dicom_files(folder: Path) -> list[DicomFile]:
    """Read the headers of all DICOM files in a folder and its subfolders, without links, copies and DICOMDIR.

    Raises:
        InputError: a folder cannot be entered, there are too many files, or a DICOM file is damaged.
    """
    paths: list[Path] = []
    for path in _walk(folder, _DEPTH):
        paths.append(path)
        if len(paths) > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} files: give the folder of one series")
    headers = [read_header(path) for path in sorted(paths) if _is_dicom(path)]
    found = {header.instance or str(header.path): header for header in headers if header.kind != _DIRECTORY}
    return list(found.values())


_DIRECTORY = "Media Storage Directory Storage"


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    with image_bytes.reading(folder), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth > 0:
                    yield from _walk(Path(entry.path), depth - 1)
            elif entry.is_file():
                yield Path(entry.path)


def _is_dicom(path: Path) -> bool:
    try:
        return find_format(path) == "DICOM"
    except InputError:
        return False


def read_header(path: Path) -> DicomFile:
    """Read the header of one DICOM file, without its pixels.

    Raises:
        InputError: damaged, or compressed as a whole.
    """
    pydicom = dicom_module()
    with image_bytes.open_file(path, decompressed=False) as file, image_bytes.reading(path):
        if _DEFLATED in file.read(1 << 14):
            raise InputError(f"{path} is DICOM with a deflated data set: write it uncompressed first (dcmconv)")
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=_TAGS)
        return _header(path, data)
    except Exception as error:  # pydicom promises no exceptions of its own for what is damaged
        raise InputError(f"{path} is a damaged DICOM file ({image_bytes.first_line(error)})") from error


def dicom_module() -> Any:
    """Import pydicom, silenced: what it finds odd in a header is either refused here or does no harm.

    Raises:
        InputError: the extra is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise InputError("DICOM is read with the extra `dicom`: pip install 'gliodex[dicom]'") from None
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def _header(path: Path, data: Any) -> DicomFile:
    kind = data.get("SOPClassUID", "")
    return DicomFile(
        path=path,
        kind=str(getattr(kind, "name", kind)),
        instance=str(data.get("SOPInstanceUID", "")),
        series=str(data.get("SeriesInstanceUID", "")),
        description=str(data.get("SeriesDescription", "") or f"series {data.get('SeriesNumber', '?')}"),
        modality=str(data.get("Modality", "?")),
        image_type=tuple(str(word).upper() for word in data.get("ImageType", None) or ()),
        rows=int(data.get("Rows", 0) or 0),
        columns=int(data.get("Columns", 0) or 0),
        frames=int(data.get("NumberOfFrames", 1) or 1),
        samples=int(data.get("SamplesPerPixel", 1) or 1),
        bits=int(data.get("BitsAllocated", 16) or 16),
        slices=None if str(kind) in _SEGMENTATIONS else _slices(data),
    )


def _slices(data: Any) -> Slices | None:
    if "PerFrameFunctionalGroupsSequence" in data:
        shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
        frames = [_frame_place(frame, shared) for frame in data.PerFrameFunctionalGroupsSequence]
    else:
        frames = [_place(data, data, data)]
    if any(frame is None for frame in frames):
        return None
    places = np.array(frames, dtype=np.float64)
    return Slices(places[:, :3], places[:, 3:9], places[:, 9:11])


def _frame_place(frame: Any, shared: Any) -> list[float] | None:
    groups = [
        next((item[name][0] for item in (frame, shared) if item is not None and item.get(name)), None)
        for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    ]
    return None if any(group is None for group in groups) else _place(*groups)


def _place(position: Any, orientation: Any, measures: Any) -> list[float] | None:
    fields = (
        position.get("ImagePositionPatient"),
        orientation.get("ImageOrientationPatient"),
        measures.get("PixelSpacing"),
    )
    if [len(field or ()) for field in fields] != [3, 6, 2]:
        return None
    return [float(number) for field in fields for number in field]
