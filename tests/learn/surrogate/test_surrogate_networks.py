from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.surrogate import PAPER_SURROGATE, SMALL_SURROGATE

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

from gliodex.learn.surrogate.surrogate_networks import density_loss, make_surrogate  # noqa: E402


def test_the_small_network_says_densities_of_the_crops_size():
    network = make_surrogate(SMALL_SURROGATE)
    said = network(
        torch.rand(2, 1, 64, 64, 64), torch.rand(2, 1, 64, 64, 64), torch.rand(2, 1, 32, 32, 32), torch.rand(2, 2)
    )
    assert said.shape == (2, 1, 64, 64, 64)
    assert ((said >= 0) & (said <= 1)).all()


def test_the_papers_network_halves_three_times_and_joins_the_growth_in_the_middle():
    design = replace(PAPER_SURROGATE, crop=32, widths=(8,), blocks=1)
    network = make_surrogate(design)
    shapes = []
    network.narrow.register_forward_hook(lambda module, given, made: shapes.append(tuple(made.shape)))
    anatomy, growth = torch.rand(1, 3, 32, 32, 32), torch.rand(1, 3)
    distance, times = torch.zeros(1, 1, 32, 32, 32), torch.zeros(1, 1, 16, 16, 16)
    said = network(anatomy, distance, times, growth)
    assert said.shape == (1, 1, 32, 32, 32)
    assert shapes == [(1, 5, 4, 4, 4)], "three of eight channels come from the growth"
    assert not torch.allclose(said, network(anatomy, distance, times, growth + 1))
    assert torch.allclose(said, network(anatomy, distance + 1, times + 1, growth)), "neither is seen"


def test_the_papers_network_has_its_width():
    network = make_surrogate(PAPER_SURROGATE)
    convolution = 128 * 128 * 27 + 128
    encoder, decoder = 4 * 4 * convolution + 3 * convolution, 4 * 5 * convolution
    others = 3 * 128 * 27 + 128 + 128 * 125 * 27 + 125 + 3 * 3 * 512 + 3 * 512 + 128 * 27 + 1
    assert sum(p.numel() for p in network.parameters()) == encoder + decoder + others


def test_losses_are_what_they_are_called():
    truth = torch.zeros(1, 1, 2, 2, 2)
    truth[..., 0, 0, 0], truth[..., 0, 0, 1] = 0.5, 0.1
    said = torch.full_like(truth, 0.2)
    csf = torch.zeros_like(truth, dtype=torch.bool)
    csf[..., 1, 1, 1] = True
    there, elsewhere = (0.3 + 0.1) / 2, 0.2
    assert float(density_loss("parts", said, truth, csf)) == pytest.approx(there + elsewhere)
    said[..., 1, 0, 0] = 0.9  # neither tumour nor CSF
    assert float(density_loss("paper", said, truth, csf)) == pytest.approx(there + 0.2)
    assert float(density_loss("l1", said, truth, csf)) == pytest.approx(float(np.mean([0.3, 0.1, 0.9, *[0.2] * 5])))
    nothing = torch.zeros_like(truth)
    assert float(density_loss("paper", nothing, nothing, csf)) == 0, "without tumour nothing is undefined"


def test_growth_changes_what_is_said():
    network = make_surrogate(replace(SMALL_SURROGATE, crop=16, widths=(4, 8)))
    anatomy, distance = torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16)
    times = torch.rand(1, 1, 8, 8, 8)
    one, other = (network(anatomy, distance, times, torch.full((1, 2), v)) for v in (-0.5, 0.5))
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("changes", [{"crop": 16}, {"crop": 30}, {"crop": 16, "widths": (4, 8, 8)}])
def test_a_crop_that_cannot_be_halved_so_often_is_refused(changes):
    with pytest.raises(InputError, match=r"cannot be halved 3 times to at least 4: take a multiple of 8, 32 or more"):
        replace(PAPER_SURROGATE, **changes)
