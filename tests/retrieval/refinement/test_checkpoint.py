import numpy as np
import pytest

from gliodex.retrieval.refinement.checkpoint import load_checkpoint, save_checkpoint
from gliodex.retrieval.refinement.smc_settings import Progressed, Stage

STAGES = (Stage(0.25, 128.0, 0.3, 0.1, 300), Stage(0.5, 130.0, 0.2, 0.15, 600))


@pytest.fixture
def begun():
    rng = np.random.default_rng(3)
    return Progressed(rng.standard_normal((16, 3)), 0.5, -12.5, 0.8, 0.4, dict(rng.bit_generator.state), STAGES)


@pytest.fixture
def path(tmp_path, begun):
    save_checkpoint(tmp_path / "checkpoint", begun, "a key")
    return tmp_path / "checkpoint"


def test_what_is_read_is_what_was_written(path, begun):
    found = load_checkpoint(path, "a key")
    np.testing.assert_array_equal(found.points, begun.points)
    for name in ("exponent", "log_evidence", "scale", "jumping", "stages"):
        assert getattr(found, name) == getattr(begun, name), name
    rng = np.random.default_rng(0)
    rng.bit_generator.state = found.generator
    again = np.random.default_rng(0)
    again.bit_generator.state = begun.generator
    assert rng.random() == again.random()


def test_one_of_another_problem_is_left_alone(path):
    assert load_checkpoint(path, "another key") is None
    assert path.exists()


def test_none_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint", "a key") is None


@pytest.mark.parametrize("place", [3, 60, -40])
def test_a_damaged_one_is_none(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    assert load_checkpoint(path, "a key") is None


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_one_cut_short_is_none(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert load_checkpoint(path, "a key") is None
