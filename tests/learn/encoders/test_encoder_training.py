import dataclasses
import shutil

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, InputError, StoreLockedError
from gliodex.learn import (
    KINDS,
    SMALL,
    TrainingSettings,
    encoder_path,
    load_encoder,
    train,
    verify_encoder,
)
from gliodex.learn.encoders import encoder_training
from gliodex.learn.training import loop
from gliodex.learn.training.loop import checkpoint_of
from gliodex.store import open_store

from ...store.breaking import flip

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

TINY = dataclasses.replace(SMALL, name="tiny", pool=2, widths=(4,), neck=2, latent=16, epochs=6, batch=4, rate=3e-3)


class Stopped(Exception):  # noqa: N818
    """What a user's Ctrl-C would be."""


def settings(kind="ae", **changes):
    return TrainingSettings(kind, dataclasses.replace(TINY, **changes.pop("design", {})), tumours=20, **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_training_draws_unseen_masks_better_and_keeps_the_best_epoch(learnable, kind):
    store, other = open_store(learnable[0]), learnable[1]
    epochs = []
    record = train(
        store,
        settings(kind, design={"epochs": 40, "rate": 1e-2, "latent": 32, "patience": 40}),
        learn_from=other,
        on_epoch=epochs.append,
    )
    losses = [validation for _, validation in record["history"]]
    assert min(losses) < losses[0] - 0.05
    assert [epoch.number for epoch in epochs] == list(range(1, len(losses) + 1))
    assert epochs[-1].best == pytest.approx(min(losses), abs=1e-5)
    encoder = load_encoder(store, kind)
    codes = encoder.describe(*(store.density(0) >= np.float32(t) for t in (0.6, 0.2)))
    assert codes.shape == (2, 32)
    if kind == "hash":
        assert set(np.unique(codes)) <= {-1, 1}
    else:
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
    assert encoder.anchors.shape == (20, 64)
    assert not list(encoder_path(store, kind).parent.glob("*.checkpoint"))


def test_like_masks_have_near_codes(learnable):
    store = open_store(learnable[0])
    train(store, settings(design={"epochs": 30}), learn_from=learnable[1])
    encoder = load_encoder(store, "ae")
    mask = store.density(3) >= np.float32(0.2)
    near, far = np.roll(mask, 1, 0), np.roll(mask, 12, 1)
    codes = encoder.codes(np.stack([encoder.box.counts(m) for m in (mask, near, far)]))
    assert np.linalg.norm(codes[0] - codes[1]) < np.linalg.norm(codes[0] - codes[2])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(learnable):
    store = open_store(learnable[0])
    hashes = []
    for seed in (3, 3, 4):
        train(store, settings("vae", seed=seed), learn_from=learnable[1], restart=True)
        hashes.append(load_encoder(store, "vae").network.code.weight.detach().numpy().tobytes())
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.fixture
def saved_each_epoch(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SHARE_SAVING", 1e9)


def stop_after(number):
    def stop(epoch):
        if epoch.number == number:
            raise Stopped

    return stop


@pytest.mark.parametrize("kind", ["vae", "hash"])
def test_a_stopped_run_goes_on_to_the_result_of_one_that_was_not(learnable, saved_each_epoch, kind):
    store = open_store(learnable[0])
    whole = train(store, settings(kind), learn_from=learnable[1])
    weights = load_encoder(store, kind).network.code.weight.detach().numpy()
    with pytest.raises(Stopped):
        train(store, settings(kind), learn_from=learnable[1], restart=True, on_epoch=stop_after(2))
    assert not encoder_path(store, kind).exists(), "what is trained anew is thrown away"
    seen = []
    again = train(store, settings(kind), learn_from=learnable[1], on_epoch=lambda e: seen.append(e.number))
    assert seen == [3, 4, 5, 6]
    assert again["history"] == whole["history"]
    np.testing.assert_array_equal(load_encoder(store, kind).network.code.weight.detach().numpy(), weights)


@pytest.mark.parametrize("spoil", ["empty", "garbage", "cut", "flipped", "none"])
def test_a_broken_checkpoint_is_not_taken_up(learnable, saved_each_epoch, spoil):
    store = open_store(learnable[0])
    checkpoint = checkpoint_of(encoder_path(store, "ae"))
    with pytest.raises(Stopped):
        train(store, settings(), learn_from=learnable[1], on_epoch=stop_after(3))
    data = checkpoint.read_bytes()
    spoilt = {"empty": b"", "garbage": b"\x80\x02 garbage", "cut": data[:-100]}
    if spoil == "flipped":
        flip(checkpoint, len(data) // 2)
    elif spoil != "none":
        checkpoint.write_bytes(spoilt[spoil])
    seen = []
    train(store, settings(), learn_from=learnable[1], on_epoch=lambda e: seen.append(e.number))
    assert seen[0] == (4 if spoil == "none" else 1)
    assert not checkpoint.exists()


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"epochs": 5}, {"design": {"widths": (6,)}}, {"design": {"rate": 1e-4}}]
)
def test_a_checkpoint_of_another_run_is_not_taken_up(learnable, saved_each_epoch, other):
    store = open_store(learnable[0])
    with pytest.raises(Stopped):
        train(store, settings(), learn_from=learnable[1], on_epoch=stop_after(3))
    seen = []
    train(store, settings(**other), learn_from=learnable[1], on_epoch=lambda e: seen.append(e.number))
    assert seen[0] == 1


def test_other_tumours_to_learn_from_make_another_run(learnable, make_store, small_atlas, ball):
    store, frame = open_store(learnable[0]), small_atlas.frame
    train(store, settings(), learn_from=learnable[1])
    others = make_store(small_atlas, [ball(frame, frame.world([20, 18, 16]), 20 + n) for n in range(22)])
    seen = []
    train(store, settings(), learn_from=others, on_epoch=lambda e: seen.append(e.number))
    assert seen[0] == 1


def test_two_cannot_train_the_same_at_once(learnable):
    store = open_store(learnable[0])

    def meanwhile(epoch):
        with pytest.raises(StoreLockedError, match="gliodex train"):
            train(store, settings(), learn_from=learnable[1])

    train(store, settings(), learn_from=learnable[1], on_epoch=meanwhile)


def test_shifts_move_all_masks_alike_and_lose_what_leaves_the_box():
    masks = torch.zeros(2, 1, 5, 6, 7)
    masks[0, 0, 0, 3, 3] = 1
    masks[1, 0, 2, 3, 3] = 1
    torch.manual_seed(0)
    places = set()
    for _ in range(60):
        moved = encoder_training._shifted(masks, 2)
        assert moved.shape == masks.shape
        (place,) = (tuple(where.tolist()) for where in moved[1, 0].nonzero())
        places.add(place)
        first = moved[0, 0].nonzero().tolist()
        expected = [place[0] - 2, *place[1:]]
        assert first == ([expected] if expected[0] >= 0 else [])
    assert {place[0] for place in places} == {0, 1, 2, 3, 4}
    assert encoder_training._shifted(masks, 0) is masks


def test_trained_already_there_is_nothing_to_do(learnable):
    store = open_store(learnable[0])
    record = train(store, settings(), learn_from=learnable[1])
    seen = []
    assert train(store, settings(device="cpu"), learn_from=learnable[1], on_epoch=seen.append) == record
    assert not seen


def test_training_stops_when_nothing_more_is_gained(learnable, monkeypatch):
    losses = iter([0.9, 0.5, 0.6, 0.7, 0.4])
    monkeypatch.setattr(encoder_training._Drawing, "validation", lambda self: next(losses))
    record = train(open_store(learnable[0]), settings(design={"patience": 2}), learn_from=learnable[1])
    assert [validation for _, validation in record["history"]] == [0.9, 0.5, 0.6, 0.7]


def test_a_loss_that_is_no_number_is_said(learnable, monkeypatch):
    monkeypatch.setattr(encoder_training._Drawing, "validation", lambda self: float("nan"))
    with pytest.raises(InputError, match="no number in epoch 1"):
        train(open_store(learnable[0]), settings(), learn_from=learnable[1])


class TestWhatItLearnsFrom:
    def test_by_default_it_simulates_tumours_of_a_campaign_that_the_store_lacks(self, tmp_path, small_atlas):
        from gliodex.simulate import Prior, build

        small = Prior(duration=(20, 60))
        build(tmp_path / "store", 2, 2_022_05, small_atlas, prior=small, workers=1)
        store = open_store(tmp_path / "store")
        progress = []
        train(store, dataclasses.replace(settings(), tumours=4), prepared=lambda *p: progress.append(p))
        held_apart = open_store(store.derived / "networks" / "tumours-202206")
        assert len(held_apart) == 5
        assert not held_apart.manifest.campaigns.keys() & store.manifest.campaigns.keys()
        assert progress[-1] == (5, 5)

    def test_a_store_of_another_model_needs_one_to_learn_from(self, learnable):
        with pytest.raises(InputError, match="growth model test"):
            train(open_store(learnable[0]), settings())

    def test_a_store_with_too_few_is_refused(self, learnable):
        with pytest.raises(InputError, match="holds 18 tumours, 22 are needed"):
            train(open_store(learnable[1]), settings(), learn_from=learnable[0])

    def test_a_store_on_another_frame_is_refused(self, learnable, make_atlas, make_store):
        with pytest.raises(InputError, match="another frame"):
            train(open_store(learnable[0]), settings(), learn_from=make_store(make_atlas((24, 24, 24))))

    def test_tumours_that_are_searched_are_refused(self, tmp_path, small_atlas):
        from gliodex.simulate import Prior, build

        for name in ("a", "b"):
            build(tmp_path / name, 2, 5, small_atlas, prior=Prior(duration=(20, 60)), workers=1)
        with pytest.raises(InputError, match="share the tumours of the campaign"):
            train(open_store(tmp_path / "a"), settings(), learn_from=tmp_path / "b")


class TestRefused:
    def test_no_encoder(self, learnable):
        with pytest.raises(InputError, match="gliodex train encoder hash"):
            load_encoder(open_store(learnable[0]), "hash")

    @pytest.mark.parametrize("wrong", [{"kind": "cnn"}, {"epochs": 0}, {"seed": -1}, {"tumours": 1}])
    def test_settings_that_mean_nothing(self, wrong):
        with pytest.raises(InputError):
            TrainingSettings(**{"kind": "ae"} | wrong)

    def test_a_gpu_that_is_not_there(self, learnable):
        if torch.cuda.is_available():
            pytest.skip("there is one")
        with pytest.raises(InputError, match="no NVIDIA GPU"):
            train(open_store(learnable[0]), settings(device="cuda"), learn_from=learnable[1])

    def test_without_pytorch(self, learnable, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "torch", None)
        with pytest.raises(InputError, match=r"pip install 'gliodex\[learn\]'"):
            train(open_store(learnable[0]), settings(), learn_from=learnable[1])

    @pytest.mark.parametrize("where", [4, 60, 5000, -1])
    def test_a_damaged_encoder(self, learnable, where):
        """In its length, its record, its weights, its hash."""
        store = open_store(learnable[0])
        train(store, settings(), learn_from=learnable[1])
        path = encoder_path(store, "ae")
        assert verify_encoder(store, "ae") == []
        flip(path, where)
        with pytest.raises(DamagedStoreError, match="gliodex train encoder ae"):
            load_encoder(store, "ae")
        assert len(verify_encoder(store, "ae")) == 1
        train(store, settings(), learn_from=learnable[1])
        assert verify_encoder(store, "ae") == []

    def test_an_encoder_of_another_frame(self, learnable, make_atlas, make_store):
        store, other = open_store(learnable[0]), open_store(make_store(make_atlas((24, 24, 24))))
        train(store, settings(), learn_from=learnable[1])
        encoder_path(other, "ae").parent.mkdir(parents=True)
        shutil.copy(encoder_path(store, "ae"), encoder_path(other, "ae"))
        with pytest.raises(InputError, match="another frame"):
            load_encoder(other, "ae")

    def test_the_store_that_is_searched(self, learnable):
        with pytest.raises(InputError, match="is the store that is searched"):
            train(open_store(learnable[1]), settings(), learn_from=learnable[1])
