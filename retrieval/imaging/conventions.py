"""What the numbers of a label map mean: the conventions of challenges, data sets and segmentation tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from ...errors import InputError


class Tissue(StrEnum):
    """What a label marks."""

    NECROTIC_CORE = "necrotic and non-enhancing core"
    NECROSIS = "necrosis"
    NON_ENHANCING = "non-enhancing tumor"
    ENHANCING = "enhancing tumor"
    CYST = "cyst"
    OEDEMA = "oedema"
    CAVITY = "resection cavity"
    CORE = "tumor core"
    WHOLE = "whole tumor"
    TUMOR = "tumor"
    OTHER = "no tumor"


CORE_TISSUES = frozenset(
    (
        Tissue.NECROTIC_CORE,
        Tissue.NECROSIS,
        Tissue.NON_ENHANCING,
        Tissue.ENHANCING,
        Tissue.CYST,
        Tissue.CORE,
    )
)
"""Of the T1Gd core: all tumour but its oedema; a resection cavity belongs to neither mask."""

WHOLE_TISSUES = CORE_TISSUES | {Tissue.OEDEMA, Tissue.WHOLE}


@dataclass(frozen=True)
class Convention:
    """Meaning of label values.

    Args:
        name: as `--labels` takes it.
        title: as a reader would call it.
        meanings: label value to tissue, background left out.
        source: where it is laid down.
        aliases: further names that `--labels` takes.
        files: regular expressions of file and folder names that data of this convention have.
        often_no_oedema: whether tumours without oedema, whose non-enhancing part lies outermost, are usual: so it is
            with the diffuse midline gliomas of children.
    """

    name: str
    title: str
    meanings: Mapping[int, Tissue]
    source: str
    aliases: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    often_no_oedema: bool = False

    def core(self, present: Iterable[int]) -> tuple[int, ...]:
        """Labels of the core among those present."""
        return tuple(v for v in present if self.meanings.get(v) in CORE_TISSUES)

    def whole(self, present: Iterable[int]) -> tuple[int, ...]:
        """Labels of the whole tumour among those present."""
        return tuple(v for v in present if self.meanings.get(v) in WHOLE_TISSUES)


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        convention.name: convention
        for convention in (
            Convention(
                "brats",
                "BraTS 2017-2021",
                {1: Tissue.NECROTIC_CORE, 2: Tissue.OEDEMA, 4: Tissue.ENHANCING},
                "Bakas et al. 2017, doi:10.1038/sdata.2017.117; Baid et al. 2021, arXiv:2107.02314",
                ("brats-2017", "brats-2018", "brats-2019", "brats-2020", "brats-2021", "ucsf-pdgm", "upenn-gbm"),
                (r"BraTS2021_\d+", r"BraTS20_", r"BraTS19_", r"Brats1[78]_", r"UCSF-PDGM-\d+", r"UPENN-GBM-\d+"),
            ),
            Convention(
                "brats-2023",
                "BraTS 2023",
                {1: Tissue.NECROTIC_CORE, 2: Tissue.OEDEMA, 3: Tissue.ENHANCING},
                "BraTS 2023 adult glioma, Africa, meningioma and metastases: Adewole et al. 2023, arXiv:2305.19369",
                ("brats-ssa", "brats-africa", "brats-men", "brats-goat"),
                (r"BraTS-(GLI|SSA|MEN|MET|PED)-\d+",),
            ),
            Convention(
                "brats-2024",
                "BraTS 2024-2025 post-treatment",
                {1: Tissue.NECROTIC_CORE, 2: Tissue.OEDEMA, 3: Tissue.ENHANCING, 4: Tissue.CAVITY},
                "de Verdier et al. 2024, arXiv:2405.18368; metastases since 2025 and MU-Glioma-Post alike",
                ("brats-2025", "brats-met", "mu-glioma-post"),
                (r"BraTS-(GLI|MET)-\d+", r"PatientID_\d+_Timepoint_\d+"),
            ),
            Convention(
                "brats-2013",
                "BraTS 2012-2013",
                {1: Tissue.NECROSIS, 2: Tissue.OEDEMA, 3: Tissue.NON_ENHANCING, 4: Tissue.ENHANCING},
                "Menze et al. 2015, doi:10.1109/TMI.2014.2377694",
                ("brats-2012", "brats-2015"),
                (r"brats_2013_pat\d+", r"BRATS_[HL]G\d+"),
            ),
            Convention(
                "brats-ped",
                "paediatric BraTS",
                {1: Tissue.ENHANCING, 2: Tissue.NON_ENHANCING, 3: Tissue.CYST, 4: Tissue.OEDEMA},
                "BraTS-PEDs since 2024: Kazerooni et al. 2024, arXiv:2404.15009; MIC-DKFZ/nnUNet issue 3042",
                ("brats-peds",),
                (r"BraTS-PED-\d+",),
                often_no_oedema=True,
            ),
            Convention(
                "hd-glio",
                "HD-GLIO",
                {1: Tissue.OEDEMA, 2: Tissue.ENHANCING},
                "Kickingereder et al. 2019, doi:10.1016/S1470-2045(19)30098-1; CCI-Bonn/HD-GLIO issues 11 and 12",
                ("hdglio", "hd-glio-auto"),
                (r"HD-?GLIO",),
            ),
            Convention(
                "msd",
                "MSD Task01, nnU-Net Task082",
                {1: Tissue.OEDEMA, 2: Tissue.NECROTIC_CORE, 3: Tissue.ENHANCING},
                "Antonelli et al. 2022, doi:10.1038/s41467-022-30695-9; MIC-DKFZ/nnUNet issues 967 and 1160",
                ("nnunet", "nnu-net", "decathlon"),
                (r"^(?-i:BRATS)_\d{3}(?!\d)",),
            ),
            Convention(
                "deepbratumia",
                "DeepBraTumIA (LUMIERE)",
                {1: Tissue.ENHANCING, 2: Tissue.NECROTIC_CORE, 3: Tissue.OEDEMA},
                "Suter et al. 2022, doi:10.1038/s41597-022-01881-7, by its measured_volumes_in_mm3.json",
                (),
                (r"DeepBraTumIA",),
            ),
            Convention(
                "gliodil",
                "GliODIL",
                {1: Tissue.NECROTIC_CORE, 3: Tissue.OEDEMA, 4: Tissue.ENHANCING},
                "Balcerak et al. 2025, arXiv:2312.05063, as its patients are published",
            ),
        )
    }
)
"""By name, the most used first: of several that give the same masks the first is named."""


def convention(name: str) -> Convention:
    """Look a convention up by its name or an alias.

    Raises:
        InputError: no convention is called so.
    """
    wanted = name.strip().lower().replace("_", "-")
    for known in CONVENTIONS.values():
        if wanted == known.name or wanted in known.aliases:
            return known
    raise InputError(f"‹labels› knows no convention `{name}`: it takes {', '.join(CONVENTIONS)}")


def named_by_files(path: Path) -> tuple[Convention, ...]:
    """Conventions that a file's name, or else the folders next above it, speak of; empty where they say nothing."""
    for part in (path.name, *(folder.name for folder in list(path.absolute().parents)[:_FOLDERS])):
        found = tuple(
            known for known in CONVENTIONS.values() if any(re.search(p, part, re.IGNORECASE) for p in known.files)
        )
        if found:
            return found
    return ()


_FOLDERS = 3  # LUMIERE keeps DeepBraTumIA-segmentation/atlas/segmentation/seg_mask.nii.gz
