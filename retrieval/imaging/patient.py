"""One patient, from the files to the report: masks, scans, tissue, and the place in the atlas."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, about
from ...store.atlas import Atlas
from ...store.frame import Frame
from ...store.nifti import Image
from .ants_transform import load_transform
from .choices import Labels, Method, Space, Strip
from .consistency import check_scan, check_space
from .head import Stripped, strip
from .intensities import above_background
from .pet import load_pet
from .readers import read_image
from .registration import align, check_axes, register
from .reuse import reuse_doubts
from .segmentation import Segmentation, from_files
from .spaces import space_map
from .tissue import Tissue, load_tissue
from .transforms import SpatialMap

Stage = Callable[[str], AbstractContextManager[None]]
"""Told of each stage as it begins, and when it ends."""


@dataclass(frozen=True, eq=False)
class Patient:
    """What is known of one patient.

    Args:
        segmentation: of the tumour.
        placed: correspondence with the atlas; None until `register`, `in_space` or `with_transform`.
        pet: FET-PET on the segmentation's grid, in [0, 1], 0 where it is not known; None where there is none.
        tissue: the patient's own; None where only the atlas's is known.
        image: T1 or T1c, to register and to show; without the skull once it is registered.
        drawn_on: another scan, which the segmentation was drawn on.
        head: the brain that was found in a whole head; None where there was none to find.
        whole_head: the image that it was found in.
        turn: (4, 4), from the world of the files to the patient's, where their headers were said to be wrong.
        doubts: for the reader of the report.
    """

    segmentation: Segmentation
    placed: SpatialMap | None = None
    pet: NDArray[np.float32] | None = None
    tissue: Tissue | None = None
    image: Image | None = None
    drawn_on: Image | None = None
    head: Stripped | None = None
    whole_head: Image | None = None
    turn: NDArray[np.float64] | None = None
    doubts: tuple[str, ...] = ()

    @classmethod
    def from_files(
        cls,
        *,
        seg: str | Path | None = None,
        core_mask: str | Path | None = None,
        whole_mask: str | Path | None = None,
        t1: str | Path | None = None,
        t1c: str | Path | None = None,
        wm: str | Path | None = None,
        gm: str | Path | None = None,
        pet: str | Path | None = None,
        seg_on: str | Path | None = None,
        core_labels: Labels = None,
        whole_labels: Labels = None,
        labels: str | None = None,
        reorient: str | None = None,
    ) -> Patient:
        """Read a patient's files, of any format that `read_volume` reads.

        Args:
            seg: segmentation; or give both masks instead.
            core_mask: core, instead.
            whole_mask: whole tumour, with the core.
            t1: T1, with or without the skull, to register.
            t1c: T1 with contrast: registered where there is no T1; tells enhancing tumour from necrosis by brightness.
            wm: map of the patient's own white matter.
            gm: map of gray matter, with it.
            pet: FET-PET on the segmentation's grid.
            seg_on: scan that the segmentation was drawn on, if that is not on the T1's grid of the world.
            core_labels: labels of the core in `seg`.
            whole_labels: labels of the whole tumour.
            labels: name of the convention of the labels in `seg`.
            reorient: directions of the image's voxel axes, such as LPS, whatever the headers say.

        Raises:
            InputError: a file cannot be used, or two do not belong together.
        """
        contrast = _scan("t1c", t1c)
        image = _scan("t1", t1) or contrast
        masks = _path(core_mask), _path(whole_mask)
        in_one_space = contrast if seg_on is None else None  # else it is not where the segmentation is
        with about("seg"):
            segmentation = from_files(_path(seg), masks, core_labels, whole_labels, labels=labels, t1c=in_one_space)
        tissue = load_tissue(wm, gm) if wm is not None and gm is not None else None
        drawn_on = _scan("seg_on", seg_on)
        with about("pet"):
            signal = load_pet(pet, segmentation.frame) if pet is not None else None
        doubts = check_scan(segmentation, above_background(in_one_space)) if in_one_space is not None else ()
        found = cls(segmentation, None, signal, tissue, image, drawn_on, doubts=doubts if t1 is not None else ())
        return found if reorient is None else found._reoriented(reorient)

    @property
    def spatial(self) -> SpatialMap:
        """Correspondence with the atlas.

        Raises:
            InputError: the patient was not placed yet.
        """
        if self.placed is None:
            raise InputError("the patient is not placed in an atlas yet", hint="register a T1, or name the space")
        return self.placed

    @property
    def warnings(self) -> tuple[str, ...]:
        """All that a careful reader should know of the files and of how they were read."""
        registered = self.placed.describe().get("doubts", ()) if self.placed is not None else ()
        assert isinstance(registered, list | tuple)
        return (*self.segmentation.warnings, *self.doubts, *map(str, registered))

    @property
    def shown(self) -> Image | None:
        """Scan of the brain, or a picture made of the tissue."""
        return self.tissue.picture() if self.image is None and self.tissue is not None else self.image

    def as_filed(self, frame: Frame) -> Frame:
        """Grid of the patient as the headers of the files have it, for what is written beside them."""
        return frame if self.turn is None else frame.in_world(np.linalg.inv(self.turn))

    def register(
        self,
        atlas: Atlas,
        folder: Path | None = None,
        *,
        registration: Method = "fast",
        registration_seed: int = 1,
        threads: int | None = None,
        strip: Strip = "auto",
        n4: bool = False,
        stage: Stage = lambda name: nullcontext(),
    ) -> Patient:
        """Register the T1 to an atlas; its skull is removed before, if it has one.

        Args:
            atlas: to place the patient in.
            folder: where the transform is kept; by default for as long as the patient is.
            registration: fast, syn (the settings of Ezhov et al. 2022, 2023) or affine.
            registration_seed: random seed of ANTs' sampling.
            threads: all available cores by default.
            strip: whether and how to remove the skull, see `head.strip`; "off" takes the image as it is.
            n4: correct the bias field first (N4).
            stage: told of each stage.

        Raises:
            InputError: there is no image, the images do not belong together, or the registration fails.
        """
        image = self.shown
        if image is None:
            raise InputError("there is no image to register", hint="give a T1, a T1c, or maps of white and grey matter")
        for scan in filter(None, (image, self.drawn_on)):
            check_axes(scan)
        patient = self
        if self.image is not None:
            with stage("brain extraction"):
                patient = self._without_skull(strip, registration_seed, threads)
            with stage("registration"):
                patient = patient._on_its_scan(atlas, strip, registration_seed, threads)
            image = patient.image
            assert image is not None
        brain = above_background(image)
        doubts = check_scan(self.segmentation, brain)
        keeper = None if folder is not None else TemporaryDirectory(prefix="gliodex-")
        where = folder if folder is not None else Path(keeper.name) / "transform" if keeper else Path()
        with stage("registration"):
            placed = register(
                image,
                self.segmentation,
                atlas,
                where,
                method=registration,
                seed=registration_seed,
                threads=threads,
                bias=n4,
            )
        placed.keeper = keeper
        return replace(patient, placed=placed, doubts=(*patient.doubts, *doubts))

    def in_space(self, space: Space, atlas: Atlas) -> Patient:
        """Place a patient whose files lie in a known space.

        Raises:
            InputError: the space is not known of this atlas, or the segmentation has the grid of another one.
        """
        doubts = check_space(space, self.segmentation.frame, self.segmentation.source, atlas.frame)
        return replace(self, placed=space_map(space, atlas), doubts=(*self.doubts, *doubts))

    def with_transform(self, folder: Path, atlas: Atlas) -> Patient:
        """Place a patient by the `transform` folder of an earlier query.

        Raises:
            InputError: there is none, or it leads to another atlas.
        """
        placed = load_transform(folder, atlas)
        return replace(
            self, placed=placed, doubts=(*self.doubts, *reuse_doubts(placed.record.made_for, self.segmentation))
        )

    def _without_skull(self, how: Strip, seed: int, threads: int | None) -> Patient:
        assert self.image is not None
        if how == "off":
            return self
        tumour = (self.segmentation.whole, self.segmentation.frame) if self.drawn_on is None else None
        head = strip(self.image, tumour, how, seed=seed, threads=threads)
        found = replace(self, doubts=(*self.doubts, *head.doubts))
        return found if head.method == "none" else replace(found, image=head.image, head=head, whole_head=self.image)

    def _on_its_scan(self, atlas: Atlas, how: Strip, seed: int, threads: int | None) -> Patient:
        """Move the T1 to the scan that the segmentation was drawn on."""
        if self.drawn_on is None:
            return self
        assert self.image is not None
        scan = self.drawn_on
        if how != "off":
            tumour = self.segmentation.whole, self.segmentation.frame
            scan = strip(scan, tumour, how, seed=seed, threads=threads).image
        one, two = above_background(self.image), above_background(scan)
        moved = align(one, two, atlas, seed=seed, threads=threads)
        doubts = check_scan(self.segmentation, two)
        image = Image(self.image.data, self.image.frame.in_world(moved), self.image.path)
        return replace(self, image=image, doubts=(*self.doubts, *doubts))

    def _reoriented(self, codes: str) -> Patient:
        """Turn the world of all files so that the voxel axes of the image run as they are said to."""
        if self.image is None:
            raise InputError(
                "a reorientation needs an image to register",
                hint="give ‹t1› or ‹t1c› with ‹reorient›",
            )
        turn = self.image.frame.turn_to(codes)

        def turned(image: Image | None) -> Image | None:
            return image and Image(image.data, image.frame.in_world(turn), image.path)

        tissue = self.tissue and replace(self.tissue, frame=self.tissue.frame.in_world(turn))
        return replace(
            self,
            segmentation=replace(self.segmentation, frame=self.segmentation.frame.in_world(turn)),
            tissue=tissue,
            image=turned(self.image),
            drawn_on=turned(self.drawn_on),
            turn=turn,
        )


def _scan(name: str, path: str | Path | None) -> Image | None:
    with about(name):
        return None if path is None else read_image(path)


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
