from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, InputError, command
from gliodex.learn.lmi import NetworkFile, growth_path, train_growth
from gliodex.learn.lmi.lmi_checkpoint import Usual, atlas_fingerprint

from ...store.breaking import flip
from .tiny import settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture
def file(grown):
    of = settings(tumours=12, epochs=1)
    train_growth(grown, of)
    return NetworkFile(growth_path(grown, of.design.name, of.targets), command("gliodex train lmi STORE"))


def test_a_network_comes_back_as_it_was(file):
    network, usual = file.load()
    again, _ = NetworkFile(file.path).load()
    cells, moments = torch.rand(2, 4, 8, 8, 8), torch.rand(2, 26)
    np.testing.assert_array_equal(network(cells, moments).mean.detach(), again(cells, moments).mean.detach())
    np.testing.assert_allclose(network.usual[0], usual.moments.astype(np.float32))
    assert len(usual.distances) == 1
    assert file.record["run"]["learned_from"]["held_apart"] == 1


@pytest.mark.parametrize("at", [0, 30, -40])
def test_a_flipped_byte_is_found(file, at):
    flip(file.path, at % file.path.stat().st_size)
    with pytest.raises(DamagedStoreError, match="make it anew with `gliodex train lmi STORE`"):
        _ = NetworkFile(file.path, file.again).record


def test_a_missing_file_is_told_with_what_makes_it(file):
    file.path.unlink()
    with pytest.raises(
        InputError, match=r"there is no network .*lmi-small.*: train one with `gliodex train lmi STORE`"
    ):
        _ = NetworkFile(file.path, file.again).record


def test_a_network_of_this_store_is_not_refused(file, grown):
    file.check(grown)


def test_a_network_of_another_growth_model_is_refused(file, grown, monkeypatch):
    monkeypatch.setattr(grown, "manifest", replace(grown.manifest, model={"model": "mass-effect 1"}))
    with pytest.raises(InputError, match="from another growth model than that of"):
        file.check(grown)


def test_a_network_of_another_frame_is_refused(file, grown, monkeypatch):
    frame = {**grown.manifest.frame, "shape": [41, 36, 32]}
    monkeypatch.setattr(grown, "manifest", replace(grown.manifest, frame=frame))
    with pytest.raises(InputError, match="on another frame than that of"):
        file.check(grown)


def test_a_network_of_another_atlas_is_refused_but_not_for_its_last_bits(file, grown):
    atlas = grown.atlas
    grown.__dict__["atlas"] = replace(atlas, white=np.clip(atlas.white * np.float32(1 - 1e-6), 0, 1))
    assert grown.atlas.digest != atlas.digest
    file.check(grown)
    grown.__dict__["atlas"] = replace(atlas, name="other", white=np.roll(atlas.white, 2, axis=1) * (atlas.csf == 0))
    with pytest.raises(InputError, match="trained in the atlas ellipsoid, not in other of"):
        file.check(grown)


def test_the_fingerprint_holds_the_mean_tissue_of_blocks(small_atlas):
    found = atlas_fingerprint(small_atlas)
    assert found.shape == (2, 5, 5, 4)
    np.testing.assert_allclose(found[0, 2, 2, 1], small_atlas.white[16:24, 16:24, 8:16].mean())
    np.testing.assert_allclose(found[1, 4, 4, 3], small_atlas.grey[32:, 32:, 24:].mean() / 2, atol=1e-9)


def test_distances_are_those_of_mahalanobis():
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((6, 6))
    moments = (rng.standard_normal((4000, 6)) @ mix + 3).astype(np.float32)
    usual = Usual.of(moments, rng.standard_normal((4000, 2)), ranges=False)
    squares = np.array([usual.distance(row) ** 2 for row in moments])
    assert squares.mean() == pytest.approx(6, rel=0.05), "of 6 numbers, chi-squared"
    assert usual.distance((3 + 10 * mix[0]).astype(np.float32)) == pytest.approx(10, rel=0.05)


def test_what_is_judged_says_how_wide_errors_are():
    rng = np.random.default_rng(0)
    usual = Usual.of(rng.standard_normal((500, 4)).astype(np.float32), rng.standard_normal((500, 2)), ranges=False)
    residuals = rng.standard_normal((3000, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]])
    judged = usual.judged(residuals, rng.standard_normal((30, 4)).astype(np.float32))
    np.testing.assert_allclose(judged.residual @ judged.residual.T, np.cov(residuals.T), rtol=0.1, atol=0.05)
    assert (np.diff(judged.distances) >= 0).all()
    assert len(judged.distances) == 30


def test_ranges_are_scaled_to_one():
    truths = np.random.default_rng(0).uniform([-3, 10], [5, 11], (200, 2))
    told = Usual.of(np.zeros((200, 3), np.float32), truths, ranges=True).standardised(truths)
    np.testing.assert_allclose([told.min(axis=0), told.max(axis=0)], [[-1, -1], [1, 1]], atol=1e-5)
