"""Running commands in this process, and stores small enough to be damaged by every test."""

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliodex.cli.main import main
from gliodex.index import build_index
from gliodex.simulate import Prior, build
from gliodex.store import open_store

from ..retrieval.anatomy import brats_labels, files_below, shared_store, write_nifti


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said, without colours."""

    code: int
    out: str
    err: str

    @property
    def said(self):
        """The one line on stderr; fails where there is not exactly one."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert len(lines) == 1, f"{len(lines)} lines on stderr:\n{self.err}"
        assert "Traceback" not in lines[0]
        return lines[0]

    @property
    def joined(self):
        """Standard output on one line, as if the terminal were wide enough."""
        return re.sub(r"\s+", " ", self.out)


@pytest.fixture
def gliodex(monkeypatch, capsys):
    """Run `gliodex ARGUMENTS...` in this process."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("GLIODEX_DEBUG", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gliodex", *map(os.fspath, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ran(ended.value.code, *(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text) for text in said))

    return run


@pytest.fixture(scope="session")
def brain_store(tmp_path_factory):
    """Path of a store of 24 tumours in icbm152; not to be changed."""
    return shared_store(tmp_path_factory)


@pytest.fixture
def indexed_store(small_store) -> Path:
    """Path of a store of five tumours with its index, to be damaged."""
    build_index(open_store(small_store))
    return small_store


@pytest.fixture(scope="session")
def _snapshots_store(small_atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "store"
    prior = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
    build(path, 12, 5, small_atlas, prior=prior, snapshots=2, workers=1)
    build_index(open_store(path))
    return path


@pytest.fixture
def snapshots_store(_snapshots_store, tmp_path) -> Path:
    """Path of a store of 12 simulated tumours in the small atlas, with up to two snapshots of each simulation."""
    return shutil.copytree(_snapshots_store, tmp_path / "snapshots-store")


def without_lock(folder):
    """Every file below a folder with its bytes, but not the locks: who held one last is no content."""
    return {name: data for name, data in files_below(folder).items() if Path(name).name != "lock"}


@pytest.fixture
def refused():
    """Hold a command to have changed nothing in a store: exit code 2, and one line that names what is wrong."""

    def check(ran, store, before, *named):
        assert ran.code == 2, ran.err + ran.out
        assert ran.said.startswith("error: ")
        assert ran.out == ""
        for name in named:
            assert str(name) in ran.said
        assert without_lock(store) == before

    return check


@pytest.fixture
def small_seg(tmp_path, small_atlas, ball):
    """Labels of tumour 3 of the small store, on the small atlas's grid."""
    frame = small_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    density = ball(frame, middle + np.array([15.0, 0, -9.0]), 23.0)
    return write_nifti(tmp_path / "seg.nii.gz", brats_labels(density), frame.affine)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "out"


@pytest.fixture
def ask(gliodex, indexed_store, small_seg, out):
    """Query the small store with a good segmentation in atlas space, unless said otherwise."""

    def run(*more, store=None, seg=small_seg, space="atlas", to=out):
        arguments = ["query", store or indexed_store, "--out", to]
        arguments += ["--seg", seg] if seg else []
        arguments += ["--space", space] if space else []
        return gliodex(*arguments, *more)

    return run


def seg_like(small_seg, path, change):
    """The good segmentation of `small_seg`, changed and written elsewhere."""
    image = nib.load(small_seg)
    data, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    return write_nifti(path, data, affine)


def query_refused(ran, out, *named):
    """Exit code 2, one line that names what is wrong, and nothing left behind."""
    assert ran.code == 2, ran.err
    for name in named:
        assert str(name) in ran.said
    assert ran.said.startswith("error: ")
    assert len(ran.said) < 700
    assert ran.out == ""
    assert not out.exists()


@pytest.fixture
def density(small_atlas, ball, tmp_path):
    """Path of a density on the small atlas's grid."""
    path = tmp_path / "density.nii.gz"
    return write_nifti(path, ball(small_atlas.frame, (3, -17, 9), 22.0), small_atlas.frame.affine)


@pytest.fixture
def snapshot_seg(snapshots_store, tmp_path):
    """Labels of tumour 4 of the store with snapshots, the middle one of three of its simulation."""
    store = open_store(snapshots_store)
    assert [store.provenance(t)["snapshot"] for t in (3, 4, 5)] == [2, 1, 0]
    assert len({store.provenance(t)["draw"] for t in (3, 4, 5)}) == 1
    return write_nifti(tmp_path / "snapshot.nii.gz", brats_labels(store.density(4)), store.frame.affine)
