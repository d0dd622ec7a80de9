from pathlib import Path

import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.conventions import Tissue
from gliodex.retrieval.imaging.label_names import meanings_of, speak, tissue_of, values_of

PATH = Path("s.seg.nrrd")

NAMES = {
    Tissue.NECROSIS: ["necrosis", "NCR", "Necrotic core", "necrotic tumor core", "Necrosis_1"],
    Tissue.NECROTIC_CORE: ["NCR/NET", "NETC", "necrotic and non-enhancing tumor"],
    Tissue.NON_ENHANCING: [
        "NET",
        "Non-enhancing",
        "non-enhancing tumor",
        "NonEnh",
        "no enhancement",
        "Non-contrast-enhancing tumor",
    ],
    Tissue.ENHANCING: ["ET", "enhancing tumor", "GD-enhancing tumour", "CE", "Enhancing_Tumor", "HDGLIO_ET"],
    Tissue.OEDEMA: [
        "edema",
        "Oedema",
        "ED",
        "FLAIR",
        "SNFH",
        "peritumoral edema",
        "non-enhancing T2/FLAIR abnormality",
    ],
    Tissue.CAVITY: ["resection cavity", "RC", "Cavity"],
    Tissue.CYST: ["cyst", "CC", "cystic component"],
    Tissue.CORE: ["TC", "tumor core", "TumorCore"],
    Tissue.WHOLE: ["WT", "whole", "Whole_1", "whole lesion", "whole tumor", "WholeTumour"],
    Tissue.TUMOR: ["Tumor", "GTV", "GTV1", "brain tumor", "Neoplasm, Primary", "glioblastoma"],
    Tissue.OTHER: [
        "CTV",
        "PTV60",
        "Brain",
        "brainstem",
        "lateral ventricles",
        "clinical target volume of tumor",
        "Whole brain",
        "WholeHead",
        "whole skull",
        "Non-tumor",
        "tumor-free hemisphere",
        "contralateral tumor mirror",
    ],
}


@pytest.mark.parametrize(("name", "tissue"), [(name, tissue) for tissue, names in NAMES.items() for name in names])
def test_words_of_the_field_are_known(name, tissue):
    assert tissue_of(name) is tissue
    assert tissue_of(name.upper()) is tissue or any(c.isupper() for c in name[1:])


@pytest.mark.parametrize("name", ["foo", "Segment_1", "edge", "cetacean", "netto", ""])
def test_other_words_are_not(name):
    assert tissue_of(name) is None


@pytest.mark.parametrize("name", ["Segment_1", "label 3", "3", "Segment 12", "class2"])
def test_a_number_says_nothing(name):
    assert not speak({1: name})
    assert speak({1: name, 2: "edema"})


def test_an_unknown_name_is_refused_with_all_names_and_the_option():
    with pytest.raises(InputError) as caught:
        meanings_of({1: "edema", 2: "blob"}, (1, 2), PATH)
    said = str(caught.value)
    assert "2 `blob`" in said
    assert "1 `edema`" in said
    assert "core_labels=NAME" in said
    assert "whole_labels=NAME" in said


def test_a_label_without_a_name_is_refused():
    with pytest.raises(InputError, match="3 without a name"):
        meanings_of({1: "edema"}, (1, 3), PATH)


def test_a_tumor_beside_its_oedema_is_the_core():
    assert meanings_of({1: "Tumor", 2: "Edema"}, (1, 2), PATH) == {1: Tissue.CORE, 2: Tissue.OEDEMA}


def test_a_tumor_without_oedema_stays_vague():
    assert meanings_of({1: "GTV", 2: "necrosis"}, (1, 2), PATH) == {1: Tissue.TUMOR, 2: Tissue.NECROSIS}


def test_names_are_found_in_any_case():
    names = {1: "Enhancing Tumor", 2: "edema", 5: "ENHANCING-TUMOR"}
    assert values_of(("enhancing tumor", 2), names, "core_labels", PATH) == (1, 5, 2)


def test_a_name_that_the_file_has_not_is_refused_with_those_that_it_has():
    with pytest.raises(InputError, match="`edema`") as caught:
        values_of(("oedem",), {2: "edema"}, "whole_labels", PATH)
    assert "whole_labels" in str(caught.value)
    with pytest.raises(InputError, match="no names"):
        values_of(("edema",), {}, "whole_labels", PATH)
