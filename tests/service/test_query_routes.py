"""Queries as jobs, asked of a running service."""

import base64
import gzip
import json
import struct
from concurrent.futures import ThreadPoolExecutor

import httpx
import nibabel as nib
import numpy as np
import pytest

from gliodex.retrieval import QueryRequest, run_query
from gliodex.retrieval.imaging.conventions import CONVENTIONS

from ..retrieval.anatomy import brats_labels, tumour_on_the_right
from .conftest import SERVED_FILES, follow, serving
from .sent_files import LFS_POINTER, WEB_PAGE, bright_two, nifti, series, side_by_side, slicer, zipped


def test_a_query_is_answered_as_on_the_command_line(service, brain_store, segmentation, ask, tmp_path):
    accepted = ask(service, top_k=4)
    assert accepted.status_code == 202
    job = accepted.json()["id"]
    assert accepted.headers["location"] == f"/v1/queries/{job}"
    told = follow(service, job)
    assert (told["status"], told["problem"]) == ("done", None)
    assert set(told["files"]) == SERVED_FILES | {f"view-match-{rank}.nii.gz" for rank in range(1, 5)}
    assert [name for name, _ in told["stages"]][:3] == ["starting", "read", "registration"]
    assert told["queued_at"] <= told["started_at"] <= told["ended_at"]
    record = service.get(f"/v1/queries/{job}/result").json()
    request = QueryRequest(str(brain_store.path), tmp_path / "out", seg=segmentation, space="atlas", top_k=4)
    _, wanted = run_query(request)
    assert record["matches"] == wanted["matches"]
    assert record["patient_space"] == wanted["patient_space"]
    assert (record["summary"], record["doubts"]) == (wanted["summary"], wanted["doubts"])
    assert len(record["warnings"]) == len(wanted["warnings"])
    sent = service.get(f"/v1/queries/{job}/files/density.nii.gz").content
    image = nib.Nifti1Image.from_bytes(gzip.decompress(sent))
    written = nib.load(tmp_path / "out" / "density.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(written.dataobj))
    report = service.get(f"/v1/queries/{job}/files/report.html")
    assert report.headers["content-type"].startswith("text/html")
    assert "not a medical device" in report.text


def test_what_is_kept_of_a_job_names_no_place_of_the_machine(service, ask, brain_store):
    job = ask(service).json()["id"]
    files = follow(service, job)["files"]
    for name in files:
        if name.endswith((".json", ".html")):
            text = service.get(f"/v1/queries/{job}/files/{name}").text
            assert "/uploads" not in text
            assert str(brain_store.path.parent) not in text, name


def test_a_job_tells_each_stage_as_it_comes(service, ask):
    job = ask(service).json()["id"]
    with service.stream("GET", f"/v1/queries/{job}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert told[-1]["status"] == "done"
    assert {"search", "report"} <= {name for name, _ in told[-1]["stages"]}
    assert len({one["stage"] for one in told}) > 3


def test_a_result_is_there_when_the_job_is_done_and_its_files_alone(service, ask):
    job = ask(service, refine="local", max_simulations=400).json()["id"]
    early = service.get(f"/v1/queries/{job}/result")
    assert early.status_code == 409
    assert "follow it until it is done" in early.json()["detail"]
    follow(service, job)
    for name in ("nothing.json", "..%2Frequest.json", "..%2F..%2F..%2Fservice.json", "transform"):
        answer = service.get(f"/v1/queries/{job}/files/{name}")
        assert answer.status_code == 404, name
    assert service.delete(f"/v1/queries/{job}").status_code == 204
    assert service.get(f"/v1/queries/{job}").status_code == 404
    assert service.delete(f"/v1/queries/{job}").status_code == 404


@pytest.mark.parametrize("name", ["x", "../jobs", "AAAAAAAAAAAAAAAAAAAAAA", "%2e%2e"])
def test_a_job_that_is_not_there_is_not_found(service, name):
    for method, path in (("GET", ""), ("GET", "/events"), ("GET", "/result"), ("POST", "/cancel"), ("DELETE", "")):
        assert service.request(method, f"/v1/queries/{name}{path}").status_code in {404, 405}


def test_a_running_job_is_stopped(service, ask):
    job = ask(service, refine="local", max_simulations=100000).json()["id"]
    follow(service, job, {"running"})
    assert service.post(f"/v1/queries/{job}/cancel").status_code == 202
    assert follow(service, job, seconds=10)["status"] == "cancelled"
    assert service.post(f"/v1/queries/{job}/cancel").json()["status"] == "cancelled"
    answer = service.get(f"/v1/queries/{job}/result")
    assert (answer.status_code, "is cancelled and has no result" in answer.json()["detail"]) == (410, True)


def test_what_was_understood_is_shown_before_anything_is_asked(service, segmentation):
    with segmentation.open("rb") as file:
        told = service.post("/v1/previews", files={"seg": file}).json()
    labels = np.asarray(nib.load(segmentation).dataobj)
    assert told["labels"] == {str(n): int((labels == n).sum()) for n in (2, 4)}
    assert (told["core_labels"], told["whole_labels"], told["orientation"]) == ([4], [2, 4], "RAS")
    assert told["volumes_ml"]["whole"] == pytest.approx((labels > 0).sum() * 0.008, abs=0.01)
    assert (told["convention"], told["format"], told["meanings"]["2"]) == ("brats", "NIfTI", "oedema")
    assert "core 4" in told["summary"][0]
    assert base64.b64decode(told["thumbnail_png"])[:4] == b"\x89PNG"


def test_a_t1c_and_a_convention_tell_what_labels_mean(service):
    content = nifti(side_by_side())
    asked = service.post("/v1/previews", files={"seg": content})
    assert (asked.status_code, asked.json()["field"]) == (422, "labels")
    for files, options in (({"t1c": bright_two()}, {}), ({}, {"labels": "hd-glio"})):
        told = service.post("/v1/previews", files={"seg": content} | files, data=options).json()
        assert (told["convention"], told["core_labels"]) == ("hd-glio", [2])


def test_conventions_are_told_with_what_each_label_means(service):
    told = {one["name"]: one for one in service.get("/v1/conventions").json()}
    assert list(told) == list(CONVENTIONS)
    assert told["hd-glio"]["meanings"] == {"1": "oedema", "2": "enhancing tumor"}
    assert all(one["source"] for one in told.values())


def test_what_slicer_writes_is_answered_with_its_names(service, segmentation, tmp_path):
    image = nib.load(segmentation)
    content = slicer(tmp_path, np.asarray(image.dataobj), image.affine)
    job = service.post("/v1/queries", files={"seg": content}, data={"space": "atlas"}).json()["id"]
    assert follow(service, job)["status"] == "done"
    record = service.get(f"/v1/queries/{job}/result").json()
    assert record["understood"]["names"] == {"2": "Edema", "4": "enhancing tumor"}
    assert record["understood"]["segmentation"] == "seg.nrrd"
    assert "Edema" in record["summary"][0]
    assert record["patient_space"]["whole"] == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_a_dicom_series_is_registered(service, brain_store, segmentation, tmp_path):
    pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    t1 = np.round(brain_store.atlas.t1 / brain_store.atlas.t1.max() * 1000)
    files = {"seg": segmentation.read_bytes(), "t1": zipped(series(tmp_path, t1, brain_store.frame.affine))}
    job = service.post("/v1/queries", files=files, data={"strip": "off"}).json()["id"]
    told = follow(service, job)
    assert told["status"] == "done", told["problem"]
    record = service.get(f"/v1/queries/{job}/result").json()
    assert record["patient_space"]["whole"] > 0.9
    scan = service.get(f"/v1/queries/{job}/files/view-scan.nii.gz").content
    assert np.ptp(np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(scan)).dataobj)) > 200


@pytest.mark.slow
def test_a_patient_that_is_turned_is_shown_in_its_own_world(service, brain_store):
    density = brain_store.density(tumour_on_the_right(brain_store))
    affine = brain_store.frame.affine  # says RAS of voxels that run backwards from front to back
    files = {
        "seg": nifti(brats_labels(density)[:, ::-1], affine),
        "t1": nifti(brain_store.atlas.t1[:, ::-1].astype(np.float32), affine),
    }
    job = service.post("/v1/queries", files=files, data={"strip": "off", "reorient": "RPS"}).json()["id"]
    told = follow(service, job)
    assert told["status"] == "done", told["problem"]
    record = service.get(f"/v1/queries/{job}/result").json()
    assert any("turned" in line for line in record["summary"])
    assert record["patient_space"]["whole"] > 0.9

    def sent(name):
        return nib.Nifti1Image.from_bytes(gzip.decompress(service.get(f"/v1/queries/{job}/files/{name}").content))

    np.testing.assert_allclose(sent("density.nii.gz").affine, affine, atol=1e-3)
    assert [nib.aff2axcodes(sent(f"view-{name}.nii.gz").affine) for name in ("scan", "density")] == [tuple("RPS")] * 2
    brightest = np.asarray(sent("view-density.nii.gz").dataobj).argmax()
    shown = sent("view-density.nii.gz")
    place = nib.affines.apply_affine(shown.affine, np.unravel_index(brightest, shown.shape))
    wanted = brain_store.frame.world(np.argwhere(density >= 0.6).mean(0))
    assert np.linalg.norm(place - wanted) < 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (WEB_PAGE, "a web page"),
        (LFS_POINTER, "a Git LFS pointer"),
        (zipped({"../../evil": b"x"}), "leads out of its folder"),
        (zipped({"a.dcm": bytes(1 << 28)}), "far more than a DICOM series has"),
    ],
    ids=["html", "lfs", "names", "zip bomb"],
)
def test_files_that_do_harm_are_problems_of_their_field(service, segmentation, content, said):
    for path in ("/v1/previews", "/v1/queries"):
        answer = service.post(path, files={"seg": segmentation.read_bytes(), "t1c": content})
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert (problem["status"], problem["field"]) == (422, "t1c")
        assert said in problem["detail"]
        assert "/" not in problem["detail"].replace("../../evil", "")


def refused(service, files, **options):
    answer = service.post("/v1/queries", files=files, data=options)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"title", "status", "detail", "field", "cause", "remedy"} <= set(problem)
    return problem


class TestRefused:
    """Everything that the command line refuses, and names the field."""

    def test_labels_that_are_not_there(self, service, segmentation):
        files = {"seg": segmentation.read_bytes()}
        problem = refused(service, files, space="atlas", core_labels="7")
        assert (problem["field"], problem["status"]) == ("core_labels", 422)
        assert problem["detail"].startswith("seg has none of the core labels 7")

    def test_labels_that_are_no_numbers(self, service, segmentation):
        problem = refused(service, {"seg": segmentation.read_bytes()}, space="atlas", core_labels="a,b")
        assert problem["field"] == "core_labels"

    def test_nothing_to_place_the_patient_by(self, service, segmentation):
        problem = refused(service, {"seg": segmentation.read_bytes()})
        assert "--" not in problem["detail"]
        assert problem["remedy"]

    def test_no_segmentation(self, service):
        problem = refused(service, {}, space="atlas")
        assert problem["field"] == "seg"

    def test_an_empty_one(self, service, segmentation):
        image = nib.load(segmentation)
        empty = nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine)
        problem = refused(service, {"seg": empty.to_bytes()}, space="atlas")
        assert problem["field"] == "seg"
        assert "it holds no label but 0" in problem["detail"]

    @pytest.mark.parametrize("content", [b"", b"no image", b"\x1f\x8bno gzip either"])
    def test_no_image(self, service, content):
        assert refused(service, {"seg": content}, space="atlas")["field"] == "seg"

    def test_one_that_was_cut_short(self, service, segmentation):
        content = segmentation.read_bytes()
        problem = refused(service, {"seg": content[: len(content) // 2]}, space="atlas")
        assert problem["detail"].startswith("seg is damaged or cut short")

    def test_two_gigabytes_of_zeros(self, service):
        header = nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)).to_bytes()
        bomb = gzip.compress(header + bytes(1 << 20)) + gzip.compress(bytes(1 << 28)) * 8
        assert len(bomb) < 3 << 20
        problem = refused(service, {"seg": bomb}, space="atlas")
        assert (problem["status"], problem["field"]) == (422, "seg")
        assert "goes on for more than" in problem["detail"]

    def test_an_option_that_does_not_exist(self, service, segmentation):
        problem = refused(service, {"seg": segmentation.read_bytes()}, space="atlas", colour="red")
        assert problem["field"] == "colour"

    @pytest.mark.parametrize(
        ("option", "value"),
        [("top_k", "0"), ("space", "mars"), ("refine", "magic"), ("index", "magic"), ("rerank", "-1")],
    )
    def test_an_option_out_of_range(self, service, segmentation, option, value):
        files = {"seg": segmentation.read_bytes()}
        assert refused(service, files, **{"space": "atlas", option: value})["field"] == option

    def test_options_that_do_not_go_together(self, service, segmentation):
        problem = refused(service, {"seg": segmentation.read_bytes()}, space="atlas", particles="10")
        assert problem["field"] == "particles"

    def test_a_file_where_text_is_wanted_and_text_where_a_file_is(self, service, segmentation):
        assert refused(service, {"space": b"atlas", "seg": segmentation.read_bytes()})["field"] == "space"
        assert refused(service, {}, seg="seg.nii.gz", space="atlas")["field"] == "seg"

    def test_another_content_type(self, service):
        answer = service.post("/v1/queries", content=b"{}", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["remedy"]) == (415, "send multipart/form-data")

    def test_a_method_that_the_store_lacks(self, service, segmentation):
        problem = refused(service, {"seg": segmentation.read_bytes()}, space="atlas", index="ae")
        assert problem["field"] == "index"
        assert "gliodex train" in problem["detail"]

    def test_a_number_in_the_header_that_is_none(self, service, segmentation):
        image = nib.load(segmentation)
        content = bytearray(nib.Nifti1Image(np.asarray(image.dataobj), image.affine).to_bytes())
        content[108:112] = struct.pack("<f", float("inf"))
        assert refused(service, {"seg": bytes(content)}, space="atlas")["field"] == "seg"

    def test_more_than_a_request_may_have(self, service):
        def sent():  # without a content-length, so that it is noticed on the way
            yield b'--x\r\ncontent-disposition: form-data; name="seg"; filename="a"\r\n\r\n'
            for _ in range(257):
                yield bytes(1 << 20)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        answer = service.post("/v1/previews", content=sent(), headers=headers)
        assert (answer.status_code, answer.json()["remedy"]) == (413, "send smaller files")


def test_what_only_the_work_finds_is_told_of_the_job(service, segmentation):
    image = nib.load(segmentation)
    far = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
    affine = image.affine.copy()
    affine[:3, 3] += 500
    far = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    job = service.post("/v1/queries", files={"seg": far.to_bytes()}, data={"space": "atlas"}).json()["id"]
    told = follow(service, job)
    assert told["status"] == "failed"
    assert told["problem"]["status"] == 422
    assert "outside" in told["problem"]["detail"]
    assert "/" not in told["problem"]["detail"].replace("and/or", "")


def test_more_jobs_than_may_wait_are_refused(brain_store, ask, tmp_path):
    with (
        serving([f"brain={brain_store.path}"], tmp_path, "--max-queued", "1") as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        first = ask(client, refine="local", max_simulations=100000).json()["id"]
        follow(client, first, {"running"})
        assert ask(client).status_code == 202
        answer = ask(client)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["title"] == "too many jobs"


@pytest.mark.slow
def test_many_at_once_are_no_way_around_it_and_deleted_ones_do_not_wait(brain_store, ask, tmp_path):
    with (
        serving([f"brain={brain_store.path}"], tmp_path, "--max-queued", "2") as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        first = ask(client, refine="local", max_simulations=100000).json()["id"]
        follow(client, first, {"running"})
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(client), range(8)))
        accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
        assert 1 <= len(accepted) <= 2
        assert {answer.status_code for answer in answers} == {202, 429}
        for job in accepted:
            client.delete(f"/v1/queries/{job}")
        assert ask(client).status_code == 202
