import json

import numpy as np
import pytest

from gliodex.cli.train import DesignName, Kind
from gliodex.learn import DESIGNS, KINDS, encoder_path, load_encoder
from gliodex.store import open_store

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture
def stores(make_store, small_atlas, ball):
    """Paths of a store to search, and of another to learn from."""
    frame = small_atlas.frame
    centres = frame.world(np.random.default_rng(1).uniform(10, 24, (12, 3)))
    balls = [ball(frame, centre, 25) for centre in centres]
    return make_store(small_atlas, balls[:3]), make_store(small_atlas, balls[3:])


def test_choices_are_those_of_the_package():
    assert tuple(kind.value for kind in Kind) == KINDS
    assert {design.value for design in DesignName} == set(DESIGNS)


def test_train_index_query(gliodex, stores, small_seg, tmp_path):
    store, other = stores
    options = ("--learn-from", other, "--tumors", "8", "--epochs", "2", "--seed", "4")
    ran = gliodex("train", "encoder", "hash", store, *options)
    assert ran.code == 0, ran.err
    assert "hash trained in" in ran.joined
    assert "2 epochs" in ran.joined
    record = load_encoder(open_store(store), "hash").record
    assert record["run"]["seed"] == 4
    assert record["run"]["learned_from"]["tumours"] == 9
    assert "nothing to do" in gliodex("train", "encoder", "hash", store, *options).joined
    assert "hash trained" in gliodex("train", "encoder", "hash", store, *options, "--restart").joined
    assert gliodex("index", store, "--method", "hash").code == 0
    assert gliodex("verify", store).code == 0
    out = tmp_path / "out"
    assert gliodex("query", store, "--seg", small_seg, "--space", "atlas", "--method", "hash", "--out", out).code == 0
    assert json.loads((out / "matches.json").read_text())["ranked_by"] == "hash"


def test_a_damaged_encoder_is_told_by_verify(gliodex, stores):
    store, other = stores
    gliodex("train", "encoder", "ae", store, "--learn-from", other, "--tumors", "8", "--epochs", "1")
    path = encoder_path(open_store(store), "ae")
    path.write_bytes(path.read_bytes()[:-1])
    ran = gliodex("verify", store)
    assert ran.code == 2
    assert "ae.encoder is damaged" in ran.joined


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("cnn",), "cnn"),
        (("ae", "--tumors", "1"), "--tumors"),
        (("ae", "--device", "cuda"), "no NVIDIA GPU"),
        (("ae",), "growth model test"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(gliodex, stores, options, said):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    ran = gliodex("train", "encoder", options[0], stores[0], *options[1:])
    assert ran.code == 2
    assert said in ran.said
