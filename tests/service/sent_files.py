"""Files of one tumour as clients send them, in every format that one file can have, and files that do harm."""

import gzip
import io
import zipfile

import nibabel as nib
import numpy as np

from ..retrieval.imaging.nested_tumor import AFFINE, nested_tumor, relabelled, t1_after_contrast
from ..retrieval.imaging.readers.dicom_writer import write_segmentation, write_series
from ..retrieval.imaging.readers.test_hostile_files import META
from ..retrieval.imaging.readers.test_nrrd import bare, fields, write
from ..retrieval.imaging.readers.test_slicer_segments import segments

LABELS = relabelled(nested_tumor(), n=1, t=4, e=2)
"""As BraTS had them until 2021."""


def nifti(data, affine=AFFINE, kind=nib.Nifti1Image):
    return kind(np.asarray(data), affine).to_bytes()


def metaimage(data, affine=AFFINE):
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    head = META.format(packed=False, size=" ".join(map(str, data.shape))).replace("MET_SHORT", "MET_UCHAR")
    axes = " ".join(f"{v:g}" for v in (lps[:3, :3] / spacing).T.ravel())
    head = head.replace("1 0 0 0 1 0 0 0 1", axes).replace("ElementSpacing = 1 1 1", "ElementSpacing = 1.5 1.5 1.5")
    return head.encode() + bare(data.astype(np.uint8))


def slicer(folder, data=LABELS, affine=AFFINE):
    """A .seg.nrrd with names that are no BraTS labels."""
    names = segments(("Necrosis", 1, 0), ("enhancing tumor", 4, 0), ("Edema", 2, 0))
    said = fields("u1", data.shape, affine, encoding="gzip")
    return write(folder / "a", gzip.compress(bare(data)), said, names).read_bytes()


def dicom_segmentation(folder, affine=AFFINE):
    masks = np.stack([LABELS == 1, LABELS == 4, LABELS == 2], axis=-1)
    write_segmentation(folder / "a.dcm", masks, affine, ["Necrosis", "Enhancing tumor", "Edema"])
    return (folder / "a.dcm").read_bytes()


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def series(folder, data, affine=AFFINE):
    """Slices of a DICOM series by their names."""
    write_series(folder / "series", np.asarray(data, np.int16), affine)
    return {f"study/{path.name}": path.read_bytes() for path in (folder / "series").iterdir()}


def side_by_side():
    """A ball of labels 1 and 2, of which neither lies around the other: BraTS and HD-GLIO have both."""
    at = np.stack(np.indices((40, 40, 40)), -1) - 19.5
    ball = np.linalg.norm(at, axis=-1) < 14
    return np.where(ball, np.where(at[..., 0] < 0, 1, 2), 0).astype(np.uint8)


def bright_two():
    """A T1c in which label 2 of `side_by_side` shines."""
    tissues = np.array([0, 3, 2])[side_by_side()]
    return nifti(t1_after_contrast(tissues, "t1c").data)


LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32\nsize 12345\n"
)
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Log in to download</body></html>\n"
