import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

from gliodex.learn import AUTHORS, KINDS, SMALL, Design  # noqa: E402
from gliodex.learn.encoders.encoder_networks import DIVERGENCE, PULL, MaskAutoencoder, bi_half, dice_loss  # noqa: E402

TINY = Design("tiny", pool=2, crop=True, widths=(3, 5), neck=2, latent=12)
CELLS = (12, 8, 4)


def masks(n=4, seed=0):
    torch.manual_seed(seed)
    return (torch.rand(n, 1, *CELLS) > 0.5).float()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("neck", [None, 2])
def test_masks_are_drawn_on_their_grid_from_codes_of_the_width_asked_for(kind, neck):
    design = Design("tiny", pool=2, crop=True, widths=(3, 5), neck=neck, latent=12)
    network = MaskAutoencoder(kind, design, CELLS)
    drawn, extra = network(masks())
    assert drawn.shape == (4, 1, *CELLS)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert network.encoder(masks()).shape == (4, 12)
    assert (extra != 0) == (kind == "vae")


def test_the_authors_network_has_their_604_million_weights():
    with torch.device("meta"):
        network = MaskAutoencoder("ae", AUTHORS, (128, 128, 128))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(604e6, rel=0.01)
    assert network.encoder.narrow == (72, 16, 16, 16)


def test_the_default_network_has_the_weights_that_its_docstring_says():
    network = MaskAutoencoder("ae", SMALL, (18, 24, 20))
    whole, encoder = (sum(p.numel() for p in part.parameters()) for part in (network, network.encoder))
    assert (round(encoder / 1e6), round(whole / 1e6)) == (9, 18)


def test_only_a_variational_encoder_in_training_is_noisy():
    for kind in KINDS:
        network = MaskAutoencoder(kind, TINY, CELLS)
        for training in (True, False):
            network.train(training)
            some = masks()
            same = torch.equal(network(some)[0], network(some)[0])
            assert same == (not (kind == "vae" and training))


def test_the_divergence_is_that_of_gaussians():
    """Against torch.distributions."""
    network = MaskAutoencoder("vae", TINY, CELLS).eval()
    encoder = network.encoder
    narrow = encoder.stages(masks()).flatten(1)
    there = torch.distributions.Normal(encoder.code(narrow), (0.5 * network.spread(narrow)).exp())
    expected = torch.distributions.kl_divergence(there, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(network(masks())[1], DIVERGENCE * expected)


@pytest.mark.parametrize("n", [2, 6, 7])
def test_each_bit_is_on_for_half_of_a_batch_and_those_are_the_largest(n):
    codes = torch.randn(n, 5, generator=torch.Generator().manual_seed(n))
    bits = bi_half(codes)
    assert set(bits.unique().tolist()) == {-1.0, 1.0}
    assert ((bits < 0).sum(0) == n // 2).all()
    for bit in range(5):
        assert codes[bits[:, bit] < 0, bit].max() < codes[bits[:, bit] > 0, bit].min()


def test_the_gradient_goes_through_the_bits_and_pulls_codes_to_them():
    codes = torch.randn(4, 3, requires_grad=True)
    slope = torch.randn(4, 3)
    (bi_half(codes) * slope).sum().backward()
    expected = slope + PULL * (codes.detach() - bi_half(codes.detach())) / 12
    torch.testing.assert_close(codes.grad, expected)


def test_the_loss_is_one_minus_dice():
    a, b = masks(3, seed=1), masks(3, seed=2)
    b[2] = 0
    for n in range(3):
        p, q = a[n].numpy() > 0, b[n].numpy() > 0
        expected = 1 - 2 * (p & q).sum() / (p.sum() + q.sum())
        assert math.isclose(float(dice_loss(a, b)[n]), expected, abs_tol=1e-6)
    empty = np.zeros((1, 1, *CELLS), np.float32)
    assert float(dice_loss(torch.from_numpy(empty), torch.from_numpy(empty))[0]) == 1.0  # no Dice without a mask
