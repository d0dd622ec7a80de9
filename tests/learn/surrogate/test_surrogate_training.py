from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, InputError
from gliodex.learn.surrogate import PAPER_SURROGATE, SurrogateFile, surrogate_training, train_surrogate
from gliodex.learn.surrogate.anatomy_dataset import Pairs
from gliodex.learn.training import loop
from gliodex.learn.training.loop import checkpoint_of
from gliodex.simulate import FisherKolmogorovSettings
from gliodex.store.checksummed_file import write_sealed

from ...store.breaking import flip
from .tiny import settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


class Stopped(Exception):  # noqa: N818
    """What a user's Ctrl-C would be."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "surrogate.network"


def weights_of(path):
    return np.concatenate([value.numpy().ravel() for value in SurrogateFile(path).load().state_dict().values()])


def test_a_few_minutes_of_learning_beat_saying_nothing(anatomies, path):
    """Errors on an anatomy that it has not seen, over those of a density of zero."""
    of = settings(tumours=36, epochs=25, rate=5e-3)
    train_surrogate(anatomies[:2], path, of)
    unseen = Pairs(anatomies[2:], 40, of.design, FisherKolmogorovSettings())
    unseen.ranges = SurrogateFile(path).ranges
    batch = unseen.batch(np.arange(40), np.zeros(40, np.int64))
    with torch.inference_mode():
        said = surrogate_training.say(SurrogateFile(path).load(), batch, of.design, "cpu").numpy()
    there = batch.density >= 0.05
    assert np.abs(said - batch.density)[there].mean() < 0.5 * batch.density[there].mean()


def test_a_network_can_learn_two_tumours_by_heart(anatomies, path):
    of = settings(tumours=2, epochs=150, patience=150, rate=1e-2, symmetries=False)
    record = train_surrogate(anatomies[:1], path, of)
    losses = [loss for loss, _ in record["history"]]
    assert losses[-1] < 0.25 * losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(anatomies, path):
    found = []
    for seed in (3, 3, 4):
        train_surrogate(anatomies[:2], path, settings(seed=seed), restart=True)
        found.append(weights_of(path).tobytes())
    assert found[0] == found[1] != found[2]


def test_a_stopped_run_goes_on_to_the_result_of_one_that_was_not(anatomies, path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SHARE_SAVING", 1e9)
    whole = train_surrogate(anatomies[:2], path, settings(epochs=4))
    weights = weights_of(path)

    def stop(epoch):
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train_surrogate(anatomies[:2], path, settings(epochs=4), restart=True, on_epoch=stop)
    seen = []
    again = train_surrogate(anatomies[:2], path, settings(epochs=4), on_epoch=lambda epoch: seen.append(epoch.number))
    assert seen == [3, 4]
    assert again["history"] == whole["history"]
    np.testing.assert_array_equal(weights_of(path), weights)
    assert train_surrogate(anatomies[:2], path, settings(epochs=4)) == again


@pytest.mark.parametrize("changes", [{"sees": "csf"}, {"sees": "tissue", "loss": "l1"}, {"loss": "paper"}])
def test_the_papers_ablations_can_be_made(anatomies, path, changes):
    record = train_surrogate(anatomies[:2], path, settings(epochs=1, **changes))
    assert changes.items() <= record["run"]["design"].items()
    assert SurrogateFile(path).design == settings(**changes).design


def test_the_papers_network_learns(anatomies, path):
    of = settings(tumours=6, epochs=2)
    of = replace(of, design=replace(PAPER_SURROGATE, crop=32, widths=(8,), blocks=1, batch=4))
    record = train_surrogate(anatomies[:2], path, of)
    assert len(record["history"]) == 2
    assert len(record["ranges"]["low"]) == 3, "D, ρ and T"


def test_what_cannot_be_learned_from_is_refused(anatomies, path, small_store):
    from gliodex.store import open_store

    with pytest.raises(InputError, match="of different growth models"):
        train_surrogate([anatomies[0], open_store(small_store)], path, settings())
    with pytest.raises(InputError, match="growth model test"):
        train_surrogate([open_store(small_store)], path, settings())
    with pytest.raises(InputError, match=r"holds 40 tumours whose growth is known, 41 are wanted"):
        train_surrogate(anatomies[:2], path, settings(tumours=40))
    with pytest.raises(InputError, match="at least 2 tumours"):
        settings(tumours=1)


def test_a_damaged_file_is_told(anatomies, path):
    train_surrogate(anatomies[:1], path, settings(epochs=1))
    flip(path, 40)
    with pytest.raises(DamagedStoreError, match="make it anew"):
        SurrogateFile(path).load()
    with pytest.raises(InputError, match="there is no network"):
        SurrogateFile(path.with_name("other")).load()


@pytest.mark.parametrize("what", ["folder", "other", "damaged", "network of another kind"])
def test_what_lies_where_the_network_is_to_lie_is_not_overwritten(anatomies, path, what):
    if what == "folder":
        path.mkdir()
    elif what == "other":
        path.write_text("a patient's segmentation")
    elif what == "damaged":
        train_surrogate(anatomies[:1], path, settings(epochs=1))
        flip(path, 40)
    else:
        write_sealed(path, {"kind": "network that tells growth"}, b"")
    kept = path.read_bytes() if path.is_file() else None
    for restart in (False, True):
        with pytest.raises(InputError, match="is a folder: name a file" if what == "folder" else "is there already"):
            train_surrogate(anatomies[:1], path, settings(epochs=1), restart=restart)
    assert (path.read_bytes() if path.is_file() else None) == kept


def test_networks_whose_names_differ_in_their_last_part_do_not_share_a_checkpoint(path):
    names = [checkpoint_of(path.with_name(name)).name for name in ("a-1.2", "a-1.3", "a.checkpoint", "a")]
    assert len({*names, "a-1.2", "a-1.3", "a.checkpoint", "a"}) == 7


def test_a_gpu_without_memory_takes_smaller_steps(anatomies, path, monkeypatch):
    plain = surrogate_training._SurrogateTask._loss

    def short(self, batch):
        if self.network.training and len(batch.density) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, batch)

    monkeypatch.setattr(surrogate_training._SurrogateTask, "_loss", short)
    assert train_surrogate(anatomies[:1], path, settings(epochs=1))["halved"] == 2
