from pathlib import Path

import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.conventions import CONVENTIONS, convention, named_by_files

# core and whole labels as the challenges and tools publish them
PUBLISHED = {
    "brats": ({1, 4}, {1, 2, 4}),
    "brats-2013": ({1, 3, 4}, {1, 2, 3, 4}),
    "brats-2023": ({1, 3}, {1, 2, 3}),
    "brats-2024": ({1, 3}, {1, 2, 3}),
    "brats-ped": ({1, 2, 3}, {1, 2, 3, 4}),
    "hd-glio": ({2}, {1, 2}),
    "msd": ({2, 3}, {1, 2, 3}),
    "deepbratumia": ({1, 2}, {1, 2, 3}),
    "gliodil": ({1, 4}, {1, 3, 4}),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_masks_are_those_published(name):
    known = CONVENTIONS[name]
    assert (set(known.core(known.meanings)), set(known.whole(known.meanings))) == PUBLISHED[name]
    assert known.source


def test_every_name_and_alias_is_found_in_any_spelling():
    for known in CONVENTIONS.values():
        for name in (known.name, *known.aliases):
            assert convention(name) is known
            assert convention(f" {name.upper().replace('-', '_')} ") is known


def test_no_alias_means_two_conventions():
    names = [name for known in CONVENTIONS.values() for name in (known.name, *known.aliases)]
    assert len(names) == len(set(names))


def test_an_unknown_convention_is_refused_with_the_list():
    with pytest.raises(InputError) as caught:
        convention("brats-1999")
    assert all(name in str(caught.value) for name in CONVENTIONS)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("BraTS2021_00006/seg.nii.gz", {"brats"}),
        ("x/BraTS-GLI-00001-100-seg.nii.gz", {"brats-2023", "brats-2024"}),
        ("BraTS-PED-00003-000-seg.nii.gz", {"brats-2023", "brats-ped"}),
        ("Imaging/DeepBraTumIA-segmentation/atlas/segmentation/seg_mask.nii.gz", {"deepbratumia"}),
        ("HD-GLIO-AUTO-segmentation/native/segmentation_CT1_origspace.nii.gz", {"hd-glio"}),
        ("labelsTr/BRATS_001.nii.gz", {"msd"}),
        ("UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_tumor_segmentation.nii.gz", {"brats"}),
        ("brats_2013_pat0001_1/seg.nii.gz", {"brats-2013"}),
        ("patient/seg.nii.gz", set()),
    ],
)
def test_names_of_files_and_folders_tell(path, names):
    assert {known.name for known in named_by_files(Path("/data") / path)} == names


def test_the_files_own_name_comes_before_its_folders():
    assert [k.name for k in named_by_files(Path("/data/BraTS2021_00006/labels/BRATS_001.nii.gz"))] == ["msd"]
