"""Stores and tumours, asked of a running service."""

import gzip

import nibabel as nib
import numpy as np
import pytest


def test_a_store_is_described(service, brain_store):
    (told,) = service.get("/v1/stores").json()
    assert told == service.get("/v1/stores/brain").json()
    assert (told["tumours"], told["version"]) == (len(brain_store), brain_store.version)
    np.testing.assert_array_equal(told["affine"], brain_store.frame.affine)
    assert "dice" in told["methods"]
    assert "ae" not in told["methods"], "no encoder was trained"
    unknown = service.get("/v1/stores/other")
    assert unknown.status_code == 404
    assert unknown.json()["field"] == "store"


def test_a_tumour_is_told_and_sent(service, brain_store):
    tumour = int(brain_store.ids[3])
    told = service.get(f"/v1/tumors/{tumour}?store=brain").json()
    assert told["parameters"] == brain_store.parameters(tumour).as_record()
    density = brain_store.density(tumour)
    whole = (density >= np.float32(0.2)).sum() * brain_store.frame.voxel_ml
    assert told["volumes_ml"]["whole"] == pytest.approx(whole)
    sent = service.get(f"/v1/tumors/{tumour}/density")
    image = nib.Nifti1Image.from_bytes(gzip.decompress(sent.content))
    np.testing.assert_array_equal(np.asarray(image.dataobj), density)
    np.testing.assert_allclose(image.affine, brain_store.frame.affine)


@pytest.mark.parametrize("path", ["/v1/tumors/999", "/v1/tumors/-1", "/v1/tumors/999/density"])
def test_a_tumour_that_is_not_there_is_not_found(service, brain_store, path):
    answer = service.get(path)
    assert answer.status_code == 404
    assert answer.json()["title"] == "no such tumour"
    assert str(brain_store.path) not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/search", 405),
        ("PUT", "/v1/queries", 405),
        ("DELETE", "/v1/stores", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/page.cs", 404),
        ("GET", "/../store_routes.py", 404),
    ],
)
def test_what_is_asked_in_another_way_or_not_there_is_said(service, method, path, status):
    answer = service.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["cause"]
    assert answer.json()["remedy"]
    assert (status == 405) == ("allow" in answer.headers)
