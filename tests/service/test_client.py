import nibabel as nib
import numpy as np
import pytest

import gliodex
from gliodex.errors import GliodexError
from gliodex.index import DiceIndex
from gliodex.service.client import Client, ServiceError

from ..retrieval.imaging.readers.dicom_writer import write_segmentation
from .conftest import SERVED_FILES, serving


@pytest.fixture(scope="module")
def client(service):
    return gliodex.connect(str(service.base_url))


def test_a_search_is_that_of_the_index(client, brain_store):
    density = brain_store.density(int(brain_store.ids[2]))
    core, whole = density >= np.float32(0.6), density >= np.float32(0.2)
    told, hits = client.search(core, whole, 5), DiceIndex.open(brain_store).search(core, whole, 5)
    assert [match["id"] for match in told["matches"]] == hits.ids.tolist()
    assert client.stores()[0]["name"] == "brain"


def test_a_tumour_is_told_and_written(client, brain_store, tmp_path):
    tumour = int(brain_store.ids[1])
    assert client.tumour(tumour)["parameters"] == brain_store.parameters(tumour).as_record()
    client.save_density(tumour, tmp_path / "density.nii.gz", store="brain")
    written = nib.load(tmp_path / "density.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), brain_store.density(tumour))


def test_a_query_is_waited_for_saved_and_deleted(client, segmentation, tmp_path):
    stages = []
    answer = client.query(seg=segmentation, space="atlas", top_k=3, announce=stages.append)
    assert len(answer.record["matches"]) == 3
    folder = answer.save(tmp_path / "result")
    assert {path.name for path in folder.iterdir()} == set(answer.files) >= SERVED_FILES
    assert stages
    answer.delete()
    with pytest.raises(GliodexError, match="no job has this id"):
        _ = answer.record


def test_what_is_refused_names_the_field(client, segmentation, tmp_path):
    with pytest.raises(GliodexError, match="none of the core labels 9") as caught:
        client.query(seg=segmentation, space="atlas", core_labels="9")
    assert caught.value.problem["field"] == "core_labels"
    with pytest.raises(GliodexError, match="cannot be read"):
        client.query(seg=tmp_path / "nothing.nii.gz")


def test_the_folder_of_a_dicom_object_is_sent_as_an_archive(client, segmentation, tmp_path):
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    image = nib.load(segmentation)
    labels = np.asarray(image.dataobj)
    folder = tmp_path / "Smith^John"
    folder.mkdir()
    write_segmentation(folder / "a", np.stack([labels == 4, labels == 2], -1), image.affine, ["Enhancing", "Edema"])
    (folder / ".DS_Store").write_bytes(b"hidden")
    answer = client.query(seg=folder, space="atlas", top_k=1)
    understood = answer.record["understood"]
    assert (understood["segmentation"], understood["format"]) == ("seg.zip", "DICOM-SEG (zip)")
    assert answer.record["patient_space"]["whole"] == pytest.approx(1, abs=1e-3)
    answer.delete()


def test_of_names_the_data_set_alone_is_sent(client, segmentation, tmp_path):
    path = tmp_path / "Smith_BraTS2021_01234_seg.nii.gz"
    path.write_bytes(segmentation.read_bytes())
    answer = client.query(seg=path, space="atlas", top_k=1)
    assert answer.record["understood"]["segmentation"] == "BraTS2021_00000.seg.nii.gz"
    answer.delete()


def test_each_file_and_option_is_sent(client, segmentation, tmp_path):
    junk = tmp_path / "junk"
    junk.write_bytes(b"no image")
    for field in ("t1", "t1c", "seg_on", "wm"):
        files = {"t1": segmentation, "wm": segmentation, "gm": segmentation} | {field: junk}
        with pytest.raises(GliodexError, match=f"^{field} is a text file") as caught:
            client.query(seg=segmentation, labels="brats", strip="off", n4=True, reorient="LPS", **files)
        assert caught.value.problem["field"] == field


def test_nobody_there_and_a_wrong_token(brain_store, tmp_path):
    with pytest.raises(GliodexError, match=r"does not answer .* is `gliodex serve` running"):
        gliodex.connect("http://127.0.0.1:9", timeout_s=2)
    with pytest.raises(GliodexError, match="does not answer"):
        gliodex.connect("no address")
    secret = tmp_path / "token"
    secret.write_text("a-secret-of-some-length\n")
    options = ("--token-file", str(secret))
    with serving([f"brain={brain_store.path}"], tmp_path / "folder", *options) as (_, url):
        with pytest.raises(GliodexError, match="token is missing or wrong"):
            gliodex.connect(url)
        assert gliodex.connect(url, "a-secret-of-some-length").stores()


def test_a_service_that_is_away_for_a_while_is_waited_for(client, segmentation, monkeypatch):
    ask, gone = Client._ask, [True, True, False]

    def away(self, method, path, *rest):
        if method == "GET" and gone.pop():
            raise ServiceError({"title": "no answer"})
        return ask(self, method, path, *rest)

    job = client.query(seg=segmentation, space="atlas").id
    gone.reverse()
    monkeypatch.setattr(Client, "_ask", away)
    assert client.answer(job).id == job
    assert gone == []


def test_no_proxy_sees_what_stays_on_this_machine(service, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert gliodex.connect(str(service.base_url)).stores()
