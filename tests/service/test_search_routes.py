"""Searches that are answered at once, asked of a running service."""

import gzip
import zlib

import numpy as np
import pytest

from gliodex.index import DiceIndex


def packed(core, whole):
    return np.packbits(core).tobytes() + np.packbits(whole).tobytes()


@pytest.fixture(scope="module")
def masks(brain_store):
    density = np.roll(brain_store.density(int(brain_store.ids[5])), 2, axis=0)
    return density >= np.float32(0.6), density >= np.float32(0.2)


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [(None, bytes), ("deflate", zlib.compress), ("gzip", gzip.compress)],
    ids=["plain", "deflate", "gzip"],
)
def test_a_search_finds_what_the_index_finds(service, brain_store, masks, encoding, encode):
    headers = {"content-encoding": encoding} if encoding else {}
    answer = service.post("/v1/search?k=7", content=encode(packed(*masks)), headers=headers)
    assert answer.status_code == 200
    told, hits = answer.json(), DiceIndex.open(brain_store).search(*masks, 7)
    assert [m["id"] for m in told["matches"]] == hits.ids.tolist()
    assert [m["score"] for m in told["matches"]] == hits.scores.tolist()
    assert [m["dice_core"] for m in told["matches"]] == hits.dice_core.tolist()
    assert (told["store"], told["version"]) == ("brain", brain_store.version)
    first = told["matches"][0]
    assert first["parameters"] == brain_store.parameters(first["id"]).as_record()


@pytest.mark.parametrize(
    ("body", "encoding", "status", "said"),
    [
        (b"abc", None, 422, "must hold 524,288 bytes"),
        (b"", None, 422, "must hold 524,288 bytes"),
        (zlib.compress(bytes(1 << 28)), "deflate", 422, "must hold 524,288 bytes"),
        (b"no zlib", "deflate", 422, "is no deflate data"),
        (b"abc", "br", 415, "send deflate or gzip"),
        (bytes(524288), None, 422, "empty"),
        (bytes(600000), None, 413, "may have 530,554 bytes"),
        (zlib.compress(bytes(524288))[:-1], "deflate", 422, "cut short"),
        (gzip.compress(bytes(524288))[:-4], "gzip", 422, "cut short"),
    ],
    ids=["short", "nothing", "bomb", "no deflate", "brotli", "empty masks", "long", "cut deflate", "cut gzip"],
)
def test_what_is_no_pair_of_masks_is_refused(service, body, encoding, status, said):
    answer = service.post("/v1/search", content=body, headers={"content-encoding": encoding} if encoding else {})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("k", [0, -1, 1001, "many"])
def test_how_many_is_checked(service, masks, k):
    answer = service.post(f"/v1/search?k={k}", content=packed(*masks))
    assert answer.status_code == 422
    assert answer.json()["field"] == "k"
