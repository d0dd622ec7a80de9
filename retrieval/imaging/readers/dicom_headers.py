"""Headers of DICOM files: what objects lie in a folder, and where the slices of a series lie in the patient."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from ....store.image_format import find_format, refuse_placeholder

MAX_FILES = 20_000
"""Files that are looked at in a folder; a study of a head has hundreds to a few thousand."""

_DEPTH = 8
_DIRECTORY = "Media Storage Directory Storage"
_ENDINGS = {".dcm", ".dicom", ".ima"}
_UNDEFINED = 0xFFFFFFFF
_MAX_FRAGMENTS = 1_000_000
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"

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


def dicom_files(folder: Path, depth: int = _DEPTH) -> list[DicomFile]:
    """Read the headers of all DICOM files in a folder, without links to folders, copies and DICOMDIR.

    Args:
        folder: to look into.
        depth: of its subfolders.

    Raises:
        InputError: a folder cannot be entered, there are too many files, a DICOM file is damaged, or what lies among
            the DICOM files by its name is none: left out, it would shorten the series without a word.
    """
    paths: list[Path] = []
    for path in _walk(folder, depth):
        paths.append(path)
        if len(paths) > MAX_FILES:
            raise InputError(f"{folder} holds more than {MAX_FILES:,} files", hint="give the folder of one series")
    others = {path: error for path in sorted(paths) if (error := _why_not_dicom(path)) is not None}
    headers = [read_header(path) for path in sorted(paths) if path not in others]
    endings = {header.path.suffix for header in headers}
    for path, error in others.items():
        if path.suffix.lower() in _ENDINGS or (path.suffix in endings and _is_placeholder(path)):
            raise error
    found = {_identity(header): header for header in headers if header.kind != _DIRECTORY}
    return list(found.values())


def _identity(header: DicomFile) -> tuple[str, bytes]:
    """Name what copies of one object share: not the UID alone, since some anonymisers give one to all slices."""
    if not header.instance or header.slices is None:
        return str(header.path), b""
    return header.instance, header.slices.positions.tobytes()


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    with image_bytes.reading(folder), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth > 0:
                    yield from _walk(Path(entry.path), depth - 1)
            elif not Path(entry.path).is_dir():  # a link that leads back to itself is none
                yield Path(entry.path)


def _why_not_dicom(path: Path) -> InputError | None:
    try:
        found = find_format(path)
    except InputError as error:
        return error
    return None if found == "DICOM" else InputError(f"{path} is {found} among DICOM files", hint="put it elsewhere")


def _is_placeholder(path: Path) -> bool:
    try:
        refuse_placeholder(path)
    except InputError:
        return True
    return False


def read_header(path: Path) -> DicomFile:
    """Read the header of one DICOM file, and make sure that its pixels are all there.

    Raises:
        InputError: damaged, cut short, or compressed as a whole.
    """
    pydicom = dicom_module(path)
    with image_bytes.reading(path), image_bytes.open_file(path, decompressed=False) as file:
        start = file.read(1 << 14)
        if start.startswith(b"\x1f\x8b") or _DEFLATED in start:
            raise InputError(
                f"{path} is DICOM compressed as a whole", hint="unpack it first (gunzip, or dcmconv if deflated)"
            )
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
                header = _header(path, data)
        except Exception as error:  # pydicom promises no exceptions of its own for what is damaged
            raise InputError(f"{path} is a damaged DICOM file ({image_bytes.first_line(error)})") from error
        if not header.kind or (header.kind.endswith("Image Storage") and not header.rows):
            raise InputError(f"{path} is a damaged DICOM file: its header is cut short, copy it again")
        if header.is_image and not _pixels_are_complete(file, header, implicit=data.original_encoding[0] is True):
            raise InputError(f"{path} is cut short: it holds less than its {header.frames} image(s), copy it again")
    return header


def _pixels_are_complete(file: IO[bytes], header: DicomFile, *, implicit: bool) -> bool:
    """Whether the pixels, at whose tag the file stands, reach as far as they should (PS3.5 7.1 and A.4)."""
    head = file.read(8 if implicit else 12)
    length = int.from_bytes(head[-4:], "little")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if length != _UNDEFINED:
        length = int.from_bytes(head[-4:], "big") if head[:2] == b"\x7f\xe0" else length
        return left >= length >= header.rows * header.columns * header.frames * header.bits // 8
    for _ in range(_MAX_FRAGMENTS):
        item = file.read(8)
        if len(item) < 8 or item[:4] == _SEQUENCE_END:
            return len(item) == 8
        file.seek(int.from_bytes(item[4:], "little"), os.SEEK_CUR)
    return False


def write_with_preamble(source: Path, target: Path) -> None:
    """Write a file that begins with its data set as one that other programs know for DICOM (PS3.10 7.1).

    Raises:
        InputError: it is damaged.
    """
    pydicom = dicom_module(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(source, force=True)
            if "TransferSyntaxUID" not in data.file_meta:
                implicit = data.original_encoding[0]
                data.file_meta.TransferSyntaxUID = (
                    pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
                )
            data.save_as(target, enforce_file_format=True)
    except Exception as error:  # as in `read_header`
        raise InputError(f"{source} is a damaged DICOM file ({image_bytes.first_line(error)})") from error


def dicom_module(path: Path) -> Any:
    """Import pydicom, silenced: what it finds odd in a header is either refused here or does no harm.

    Raises:
        InputError: the extra is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise InputError(f"{path} is DICOM, which needs the extra dicom", hint="pip install 'gliodex[dicom]'") from None
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    return pydicom


def _header(path: Path, data: Any) -> DicomFile:
    kind = data.get("SOPClassUID", "")
    return DicomFile(
        path=path,
        kind=image_bytes.printable(str(getattr(kind, "name", kind))),
        instance=str(data.get("SOPInstanceUID", "")),
        series=str(data.get("SeriesInstanceUID", "")),
        description=image_bytes.printable(
            str(data.get("SeriesDescription", "") or f"series {data.get('SeriesNumber', '?')}")
        ),
        modality=image_bytes.printable(str(data.get("Modality", "?"))),
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
