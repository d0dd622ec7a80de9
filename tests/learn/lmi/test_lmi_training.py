import shutil
from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError, OutputError
from gliodex.learn.lmi import NetworkFile, Targets, growth_path, lmi_training, train_growth
from gliodex.learn.lmi.lmi_dataset import Examples
from gliodex.learn.lmi.mask_features import Viewer
from gliodex.learn.training import loop
from gliodex.learn.training.density_crops import LevelBoxes
from gliodex.simulate import build
from gliodex.store import open_store
from gliodex.store.exchange import add_density
from gliodex.store.nifti import load_image, save_image

from .tiny import settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


class Stopped(Exception):  # noqa: N818
    """What a user's Ctrl-C would be."""


def path_of(store, of):
    return growth_path(store, of.design.name, of.targets)


def weights_of(store, of):
    network, _ = NetworkFile(path_of(store, of)).load()
    return np.concatenate([value.numpy().ravel() for value in network.state_dict().values()])


@pytest.fixture
def saved_each_epoch(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SHARE_SAVING", 1e9)


def test_two_hundred_tumours_suffice_to_tell_the_seed_and_some_of_the_growth_of_others(grown):
    """Variance that is left on the last 21 tumours, each outlined at densities that the network is not told."""
    of = settings(tumours=216, epochs=20, rate=5e-3, hidden=64)
    train_growth(grown, of)
    network, usual = NetworkFile(path_of(grown, of)).load()
    boxes = LevelBoxes.of(grown, 237)
    examples = Examples(boxes, Viewer(grown.atlas, 8), of.targets, 216, 0, ranges=False)
    (views, truths), *more = examples.looked_at_held(100)
    assert not more
    told = network(torch.from_numpy(views.cells), torch.from_numpy(views.moments)).mean.detach().numpy()
    left = ((told - usual.standardised(truths)) ** 2).mean(axis=0)
    assert left[0] < 0.6, "how far it grew"
    assert left[1] < 0.9, "how wide its front is"
    assert left[2:].mean() < 0.25, "the seed"


def test_a_network_can_learn_a_few_tumours_by_heart(grown):
    of = settings("seed", tumours=8, epochs=150, rate=1e-2, weight_decay=0.0)
    record = train_growth(grown, of)
    losses = [loss for loss, _ in record["history"]]
    assert losses[-1] < losses[0] - 3


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(grown):
    found = []
    for seed in (3, 3, 4):
        of = settings(seed=seed)
        train_growth(grown, of, restart=True)
        found.append(weights_of(grown, of).tobytes())
    assert found[0] == found[1] != found[2]


def test_a_stopped_run_goes_on_to_the_result_of_one_that_was_not(grown, saved_each_epoch):
    of = settings(epochs=5)
    whole = train_growth(grown, of)
    weights = weights_of(grown, of)

    def stop(epoch):
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train_growth(grown, of, restart=True, on_epoch=stop)
    assert not path_of(grown, of).exists()
    seen = []
    again = train_growth(grown, of, on_epoch=lambda epoch: seen.append(epoch.number))
    assert seen == [3, 4, 5]
    assert again["history"] == whole["history"]
    np.testing.assert_array_equal(weights_of(grown, of), weights)
    assert train_growth(grown, of) == again, "what is trained is not trained again"
    assert not list(path_of(grown, of).parent.glob("*.checkpoint"))


@pytest.mark.parametrize("targets", ["mu", "rates", "rates+seed", "seed"])
def test_all_targets_are_learned_side_by_side(grown, targets):
    for scale in ("log", "linear"):
        of = settings(targets, scale, tumours=12, epochs=1)
        record = train_growth(grown, of)
        assert NetworkFile(path_of(grown, of)).targets == Targets(targets, scale)
        assert record["run"]["targets"] == [targets, scale]
    assert len({path.name for path in path_of(grown, of).parent.glob("*.network")}) == 2


def test_the_papers_network_learns_the_whole_frame_by_squares(grown):
    of = settings("mu+seed", "linear", tumours=4, epochs=2, cells=0, gaussian=False, decay=0.99, batch=2, blocks=2)
    record = train_growth(grown, of)
    assert all(loss > 0 for loss, _ in record["history"]), "mean squares"
    _, usual = NetworkFile(path_of(grown, of)).load()
    assert usual.residual.shape == (5, 5)
    assert np.trace(usual.residual) != pytest.approx(5), "what it errs is known from tumours held apart"


def test_another_store_can_be_learned_from(grown, tmp_path, small_atlas, make_atlas):
    other = tmp_path / "other"
    build(other, 24, 6, small_atlas, workers=1)
    record = train_growth(grown, settings(tumours=20, epochs=1), learn_from=other)
    assert record["run"]["learned_from"]["campaigns"][0].startswith("seed-6")
    elsewhere = tmp_path / "elsewhere"
    build(elsewhere, 4, 6, make_atlas(shape=(38, 36, 32)), workers=1)
    with pytest.raises(InputError, match="has another atlas or growth model than"):
        train_growth(grown, settings(tumours=3), learn_from=elsewhere)


def test_more_tumours_than_there_are_are_not_learned_from(grown):
    with pytest.raises(InputError, match=r"holds 240 tumours whose growth is known, 275 are wanted"):
        train_growth(grown, settings(tumours=250))


def test_what_was_added_since_is_not_learned_from(grown, tmp_path, small_atlas):
    """Queries add tumours, some of unknown growth: training is what it was before."""
    store = open_store(shutil.copytree(grown.path, tmp_path / "copy"))
    of = replace(settings(epochs=1), tumours=None)
    before = train_growth(store, of)
    image = tmp_path / "density.nii.gz"
    save_image(image, store.density(3), store.frame)
    add_density(store.path, load_image(image), None, {"method": "test"})
    later = open_store(store.path)
    assert len(later) == len(store) + 1
    assert train_growth(later, of) == before, "nothing to do"


@pytest.mark.parametrize("wrong", [{"tumours": 1}, {"epochs": 0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="at least 2 tumours, 1 epoch and a seed of 0 or more"):
        settings(**wrong)


def test_without_a_number_all_tumours_but_some_are_learned_from():
    assert replace(settings(), tumours=None).shares(50_000) == (48_000, 2_000)
    assert replace(settings(), tumours=None).shares(40) == (36, 4)
    assert settings(tumours=30).shares(50_000) == (30, 3)


def test_a_gpu_without_memory_takes_smaller_steps(grown, monkeypatch):
    """As PyTorch says it of a GPU; steps of more than 5 tumours do not fit here."""
    plain = lmi_training._GrowthTask._loss

    def short(self, views, truths):
        if self.network.training and len(truths) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, views, truths)

    monkeypatch.setattr(lmi_training._GrowthTask, "_loss", short)
    assert train_growth(grown, settings(epochs=1))["halved"] == 2
    monkeypatch.setattr(
        lmi_training._GrowthTask, "_loss", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no"))
    )
    with pytest.raises(InputError, match=r"the GPU's memory does not suffice to train lmi: leave out device=cuda"):
        train_growth(grown, settings(epochs=2))


def test_a_folder_that_cannot_be_written_is_told(grown, tmp_path):
    store = open_store(shutil.copytree(grown.path, tmp_path / "copy"))
    store.derived = tmp_path / "file"
    store.derived.write_text("in the way")
    with pytest.raises(OutputError, match="cannot"):
        train_growth(store, settings(epochs=1))
