"""One store with real anatomy, and one answered query on it, for all tests of retrieval."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gliodex.retrieval import Answer, QueryRequest, run_query
from gliodex.store import TumorStore, open_store

from .anatomy import affine_patient, brats_labels, shared_store, tumour_on_the_right, write_nifti


@dataclass(frozen=True)
class Asked:
    """A query that was answered: what was asked, what came back, and where its files are."""

    tumour: int
    request: QueryRequest
    answer: Answer
    record: dict
    out: Path


@pytest.fixture(scope="session")
def brain_store(tmp_path_factory) -> TumorStore:
    """Snapshot of 24 tumours in icbm152; not to be changed."""
    return open_store(shared_store(tmp_path_factory))


@pytest.fixture(scope="session")
def right_tumour(brain_store):
    """Id of a tumour in the right hemisphere."""
    return tumour_on_the_right(brain_store)


@pytest.fixture(scope="session")
def asked(brain_store, right_tumour, tmp_path_factory) -> Asked:
    """The right tumour, segmented on a part of the atlas's grid, queried in atlas space."""
    folder = tmp_path_factory.mktemp("asked")
    density = brain_store.density(right_tumour)
    inside = np.argwhere(density >= 0.2)
    low, high = inside.min(0) - 6, inside.max(0) + 7
    labels = brats_labels(density)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    seg = write_nifti(folder / "seg.nii.gz", labels, brain_store.frame.crop(low, high).affine)
    request = QueryRequest(str(brain_store.path), folder / "out", seg=seg, space="atlas", top_k=7)
    answer, record = run_query(request)
    return Asked(right_tumour, request, answer, record, folder / "out")


@pytest.fixture(scope="session")
def patient_files(brain_store, right_tumour, tmp_path_factory):
    """Paths of the T1 and the segmentation of a patient whose anatomy is the atlas's under a known affine."""
    folder = tmp_path_factory.mktemp("patient")
    t1, t1_frame, labels, seg_frame = affine_patient(brain_store, right_tumour)
    return (
        write_nifti(folder / "t1.nii.gz", t1, t1_frame.affine),
        write_nifti(folder / "seg.nii.gz", labels, seg_frame.affine),
    )
