import numpy as np
import pytest
from scipy import stats

from gliodex.learn.lmi import PAPER_GROWTH, SMALL_GROWTH
from gliodex.learn.lmi.mask_features import CHANNELS, MOMENTS

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

from gliodex.learn.lmi.lmi_networks import (  # noqa: E402
    Told,
    likelihood_loss,
    make_growth_network,
    precision_factor,
)


def told(seed=0, count=5):
    generator = torch.Generator().manual_seed(seed)
    shapes = (3, count), (3, count), (3, count * (count - 1) // 2)
    return Told(*(0.5 * torch.randn(shape, generator=generator) for shape in shapes))


def test_the_loss_is_the_likelihood_of_a_gaussian():
    found = told()
    truth = torch.randn((3, 5), generator=torch.Generator().manual_seed(9))
    for n, factor in enumerate(precision_factor(found).double().numpy()):
        covariance = np.linalg.inv(factor.T @ factor)
        expected = stats.multivariate_normal(found.mean[n].numpy(), covariance).logpdf(truth[n].numpy())
        loss = float(likelihood_loss(found, truth)[n]) + 2.5 * np.log(2 * np.pi)
        assert loss == pytest.approx(-expected, rel=1e-4)


def test_the_papers_network_has_its_size_and_halves_the_frame_four_times():
    network = make_growth_network(PAPER_GROWTH, 5)
    count = sum(p.numel() for p in network.parameters())
    stem, convolutions, out = 64 * 343 + 64, 16 * (64 * 64 * 27 + 64), 64 * 5 + 5
    assert count == stem + convolutions + out
    seen = []
    network.blocks[-1].register_forward_hook(lambda module, given, made: seen.append(made.shape))
    found = network(torch.zeros(1, 1, 32, 32, 32), torch.zeros(1, MOMENTS))
    assert seen == [(1, 64, 2, 2, 2)]
    assert found.mean.shape == (1, 5)
    assert precision_factor(found)[0].equal(torch.eye(5))


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_the_small_network_tells_as_many_numbers_as_asked(count):
    network = make_growth_network(SMALL_GROWTH, count)
    cells = SMALL_GROWTH.cells
    found = network(torch.rand(2, CHANNELS, cells, cells, cells), torch.rand(2, MOMENTS))
    assert found.mean.shape == found.log_diagonal.shape == (2, count)
    assert found.below.shape == (2, count * (count - 1) // 2)
    assert torch.isfinite(likelihood_loss(found, torch.zeros(2, count))).all()


def test_moments_are_standardised():
    network = make_growth_network(SMALL_GROWTH, 5).eval()
    cells = torch.zeros(1, CHANNELS, *[SMALL_GROWTH.cells] * 3)
    plain = network(cells, torch.ones(1, MOMENTS)).mean
    network.set_moments(torch.full((MOMENTS,), 7.0), torch.full((MOMENTS,), 3.0))
    np.testing.assert_allclose(network(cells, torch.full((1, MOMENTS), 10.0)).mean.detach(), plain.detach(), rtol=1e-5)
