"""What a file is, by its first bytes: names lie, and what is no image is called what it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .image_bytes import open_file, reading

Format = Literal["NIfTI", "NIfTI pair", "NRRD", "MetaImage", "MGH", "DICOM", "zip"]
"""Formats of one file; a NIfTI pair is named by either of its two files."""

KNOWN_FORMATS = "NIfTI, NRRD, MetaImage, MGH or DICOM"

_HEAD_BYTES = 4096

_OTHER_SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer, not the image itself: run `git lfs pull`"),
    (b"/annex/objects/", "a git-annex pointer, not the image itself: run `git annex get`"),
    (b"\x89PNG", "a PNG picture: give the image that it was made from"),
    (b"\xff\xd8\xff", "a JPEG picture: give the image that it was made from"),
    (b"GIF8", "a GIF picture: give the image that it was made from"),
    (b"BM", "a BMP picture: give the image that it was made from"),
    (b"II*\x00", "a TIFF picture, which has no place in the patient: give the image that it was made from"),
    (b"MM\x00*", "a TIFF picture, which has no place in the patient: give the image that it was made from"),
    (b"%PDF", "a PDF document: give the image file"),
    (b"\x89HDF", "an HDF5 file (.h5, .mnc, .mat), which has no agreed place for a grid: write it as NIfTI first"),
    (b"MATLAB 5", "a MATLAB file, which has no agreed place for a grid: write it as NIfTI first"),
    (b"\x93NUMPY", "a NumPy array, which has no place in the patient: write it as NIfTI with its affine first"),
    (b"CDF\x01", "a MINC-1 or NetCDF file: convert it to NIfTI first (for example with mnc2nii)"),
    (b"CDF\x02", "a NetCDF file: convert it to NIfTI first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it first (unzstd)"),
    (b"\x80\x02", "a Python pickle, which is not opened, since it may run code: write the image as NIfTI"),
    (b"\x80\x03", "a Python pickle, which is not opened, since it may run code: write the image as NIfTI"),
    (b"\x80\x04", "a Python pickle, which is not opened, since it may run code: write the image as NIfTI"),
    (b"\x80\x05", "a Python pickle, which is not opened, since it may run code: write the image as NIfTI"),
)


def find_format(path: str | Path) -> Format:
    """Find the format of a file by its first bytes, decompressed where they are compressed.

    Raises:
        InputError: the file cannot be read, or holds no image of a format that is read here; the message says what
            it is.
    """
    path = Path(path)
    if pair_header(path) != path:
        return "NIfTI pair"
    head = first_bytes(path)
    found = _image_format(head)
    if found is None:
        header = _header_of_bare_values(path)
        raise InputError(f"{path} is {_other_format(head)}{header}")
    if found == "zip" and _first_entry(head).endswith(b".npy"):
        raise InputError(
            f"{path} is a NumPy archive (.npz), which has no agreed place for a grid", hint="write it as NIfTI"
        )
    return found


def first_bytes(path: Path) -> bytes:
    """Read the beginning of a file, decompressed.

    Raises:
        InputError: it cannot be read, or its compression is damaged.
    """
    with open_file(path) as file, reading(path):
        return file.read(_HEAD_BYTES)


def refuse_placeholder(path: Path) -> None:
    """Refuse what stands where a file of bare values should be: nothing, a pointer, a web page.

    Raises:
        InputError: it is one of these, or cannot be read.
    """
    head = first_bytes(path)
    web_page = re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE)
    if not head or web_page or head.startswith((b"version https://git-lfs", b"/annex/objects/")):
        raise InputError(f"{path} is {_other_format(head)}")


def pair_header(path: Path) -> Path:
    """Name the header of a NIfTI pair whose .img or .img.gz file is given; else the path itself."""
    match = re.fullmatch(r"(.*)\.img(\.gz)?", path.name, re.IGNORECASE | re.DOTALL)
    if match is None:
        return path
    for ending in (".hdr", ".hdr.gz", ".HDR", ".HDR.GZ"):
        header = path.with_name(match[1] + ending)
        try:
            if _image_format(first_bytes(header)) == "NIfTI pair":
                return header
        except InputError:
            continue
    return path


def _image_format(head: bytes) -> Format | None:
    return next((name for name, fits in _IMAGE_FORMATS if fits(head)), None)


def _header_of_bare_values(path: Path) -> str:
    """Say which file would tell what this one holds, where its name is that of bare values."""
    ending = re.sub(r"\.gz$", "", path.name.lower()).rpartition(".")[2]
    header = {"img": ".hdr", "raw": ".mhd or .nhdr", "zraw": ".mhd"}.get(ending)
    return f" (bare values: its {header} must lie beside it, and be a right one)" if header else ""


def _is_bare_dicom(head: bytes) -> bool:
    """Whether a data set begins without the preamble, as some older scanners write it: PS3.5, group 2 or 8 first."""
    return len(head) > 132 and head[:2] in {b"\x02\x00", b"\x08\x00"} and head[2] <= 0x70 and head[3] == 0


def _is_mgh(head: bytes) -> bool:
    """Whether version and type of the values are among those of the MGH format, which has no signature."""
    return head[:4] == b"\x00\x00\x00\x01" and int.from_bytes(head[20:24], "big") in {0, 1, 3, 4, 10}


_IMAGE_FORMATS: tuple[tuple[Format, Callable[[bytes], bool]], ...] = (
    ("DICOM", lambda head: head[128:132] == b"DICM" or _is_bare_dicom(head)),
    ("NIfTI pair", lambda head: head[344:348] == b"ni1\x00" or head[4:8] == b"ni2\x00"),
    ("NIfTI", lambda head: head[344:348] == b"n+1\x00" or head[4:8] == b"n+2\x00"),
    ("NRRD", lambda head: head.startswith(b"NRRD000")),
    ("zip", lambda head: head.startswith(b"PK\x03\x04")),
    ("MGH", lambda head: len(head) >= 284 and _is_mgh(head)),
    ("MetaImage", lambda head: re.search(rb"^\s*NDims\s*=", head, re.MULTILINE) is not None),
)


def _other_format(head: bytes) -> str:
    if not head:
        return "empty (0 bytes): copy it again"
    for signature, words in _OTHER_SIGNATURES:
        if head.startswith(signature):
            return words
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    if head[:4] in {b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"}:
        return (
            "an Analyze 7.5 header or a damaged NIfTI one: Analyze does not tell left from right, so write it as "
            "NIfTI with its orientation"
        )
    text = _text(head)
    if text is None:
        return f"not a file of a format that is read here: give {KNOWN_FORMATS}"
    return _kind_of_text(text.lstrip("\ufeff \t\r\n").lower())


def _kind_of_text(text: str) -> str:
    if text.startswith(("<!doctype html", "<html")) or "<html" in text[:500]:
        return "a web page (HTML), not an image: a download that needs a login or another link gives such a page"
    if text.startswith("<"):
        return f"an XML file, not an image: give {KNOWN_FORMATS}"
    if text.startswith(("{", "[")):
        return f"a JSON file, not an image: give {KNOWN_FORMATS}"
    return f"a text file, not an image: give {KNOWN_FORMATS}"


def _text(head: bytes) -> str | None:
    """Decode what consists of printable characters, or None; a character cut at the end does not count."""
    text = head.decode("utf-8", errors="replace")[:-4] if len(head) == _HEAD_BYTES else head.decode("utf-8", "replace")
    readable = sum(c.isprintable() or c in "\r\n\t\f\ufeff" for c in text) - text.count("\ufffd")
    return text if text and readable >= 0.95 * len(text) else None


def _first_entry(head: bytes) -> bytes:
    """Name of the first file in a zip archive (APPNOTE 4.3.7)."""
    return head[30 : 30 + int.from_bytes(head[26:28], "little")]
