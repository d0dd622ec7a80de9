import shutil
from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.lmi import (
    GROWTH_DESIGNS,
    GrowthReader,
    GrowthSettings,
    NetworkFile,
    Targets,
    growth_path,
    train_growth,
)
from gliodex.learn.lmi import parameter_predictor as reader_module
from gliodex.learn.lmi.mask_features import Viewer
from gliodex.learn.surrogate import SurrogateFile
from gliodex.simulate import build
from gliodex.store import open_store

from .masks import outlines
from .tiny import TINY, settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


MU = ("mu1", "mu2")


@pytest.fixture
def reader(trained):
    return GrowthReader.of(trained)


def test_a_tumour_is_told_with_draws_around_it(reader, grown):
    core, whole = outlines(grown, grown.ids[-1], 51, 154)
    told = reader(core, whole, draws=300, seed=4)
    truth = grown.parameters(int(grown.ids[-1]))
    assert np.linalg.norm(np.subtract(told.parameters.seed_mm, truth.seed_mm)) < 25
    assert len(told.draws) == 300
    middle = np.median([np.log(draw.mu1 * draw.mu2) for draw in told.draws])
    assert middle == pytest.approx(np.log(told.parameters.mu1 * told.parameters.mu2), abs=0.3)
    assert reader(core, whole, draws=300, seed=4) == told
    assert reader(core, whole, draws=300, seed=5).draws != told.draws


def test_draws_are_as_wide_as_the_errors_on_tumours_held_apart(reader, grown):
    """Of 20 tumours that it has not seen, two numbers each lie in intervals of 90 % mostly, which are narrow."""
    inside, widths = [], []
    spread = {name: np.std([np.log(getattr(grown.parameters(n), name)) for n in grown.ids.tolist()]) for name in MU}
    for tumour in grown.ids[220:240]:
        truth = grown.parameters(int(tumour))
        told = reader(*outlines(grown, tumour, 51, 154), draws=200)
        for name in MU:
            low, high = np.quantile([getattr(draw, name) for draw in told.draws], [0.05, 0.95])
            inside.append(low <= getattr(truth, name) <= high)
            widths.append(np.log(high / low) / spread[name])
    assert np.mean(inside) > 0.7
    assert np.median(widths) < 2.8, "of the prior's own 90 %, 3.3 standard deviations"


def test_the_mirror_image_of_a_tumour_is_told_as_the_mirror_image(reader, grown):
    core, whole = outlines(grown, grown.ids[3], 51, 154)
    one, other = reader(core, whole).parameters, reader(core[::-1], whole[::-1]).parameters
    assert other.mu1 == pytest.approx(one.mu1, rel=1e-3)
    middle = grown.frame.world((np.array(grown.frame.shape) - 1) / 2)[0]
    assert one.seed_mm[0] + other.seed_mm[0] == pytest.approx(2 * middle, abs=0.05)
    assert one.seed_mm[1:] == pytest.approx(other.seed_mm[1:], abs=0.05)


def test_outlines_unlike_all_that_was_learned_from_are_far_away(reader, grown, small_atlas):
    usual = reader(*outlines(grown, grown.ids[0], 51, 154))
    assert usual.farther > 0
    scattered = np.random.default_rng(0).random(small_atlas.frame.shape) < 0.01
    strange = reader(scattered & (np.indices(scattered.shape)[0] > 20), scattered)
    assert strange.farther == 0
    assert strange.distance > 2 * usual.distance


def test_masks_without_a_core_and_full_masks_are_answered_and_empty_ones_refused(reader, small_atlas):
    empty, full = np.zeros((2, *small_atlas.frame.shape), bool)
    full[:] = True
    one = full.copy()
    one[:, :, 10:] = False
    for core, whole in ((empty, one), (full, full)):
        told = reader(core, whole, draws=3)
        assert np.isfinite([told.parameters.mu1, told.parameters.mu2, *told.parameters.seed_mm]).all()
    with pytest.raises(InputError, match="whole mask is empty"):
        reader(empty, empty)


def test_two_networks_tell_together_what_one_cannot(grown, monkeypatch):
    monkeypatch.setitem(GROWTH_DESIGNS, "small", TINY)
    parts = Targets("rates", "linear"), Targets("seed")
    for part in parts:
        train_growth(grown, settings(part.name, part.scale, epochs=1))
    masks = outlines(grown, grown.ids[0], 51, 154)
    told = GrowthReader.of(grown, targets=parts)(*masks, draws=2)
    assert len(told.draws) == 2
    alone = [reader_module._Part(NetworkFile(growth_path(grown, "small", part)), None).usual for part in parts]
    moments = Viewer(grown.atlas, 8).of_masks(*masks).moments[0]
    assert told.distance == max(usual.distance(moments) for usual in alone), "the worse one warns"
    alone = NetworkFile(growth_path(grown, "small", parts[0]))
    with pytest.raises(InputError, match="growth and seed must be told together"):
        GrowthReader(grown, (alone,))


def test_a_design_is_asked_in_the_scale_that_it_is_trained_in(grown, monkeypatch):
    """As `gliodex train lmi --arch paper` trains it: linear."""
    paper = replace(TINY, name="paper", cells=0, gaussian=False, decay=0.99, batch=2, blocks=2)
    monkeypatch.setitem(GROWTH_DESIGNS, "paper", paper)
    assert (TINY.scale, paper.scale) == ("log", "linear")
    train_growth(grown, GrowthSettings(paper, Targets(scale=paper.scale), tumours=4, epochs=1))
    told = GrowthReader.of(grown, "paper")(*outlines(grown, grown.ids[0], 51, 154), draws=2)
    assert np.isfinite([draw.mu1 for draw in told.draws]).all()
    with pytest.raises(InputError, match="with arch=paper, targets=mu, scale=log"):
        GrowthReader.of(grown, "paper", targets=(Targets("mu"),))


def test_a_network_of_another_kind_is_none_of_these(trained):
    path = growth_path(trained, "small", Targets())
    with pytest.raises(InputError, match=r"is no surrogate of the solver: train one with `gliodex train surrogate`"):
        _ = SurrogateFile(path).ranges


def test_what_was_not_trained_is_asked_for(grown):
    with pytest.raises(InputError, match=rf"no network .*: train one with `gliodex train lmi {grown.path}`"):
        GrowthReader.of(grown)
    with pytest.raises(InputError, match=r"train lmi .*` with arch=paper"):
        GrowthReader.of(grown, "paper")
    with pytest.raises(InputError, match="arch=large is none of small, paper"):
        GrowthReader.of(grown, "large")


def test_what_comes_with_gliodex_answers_for_its_atlas_alone(trained, grown, tmp_path, monkeypatch, make_atlas):
    """A network of the small brain is shipped: its stores need none of their own, and others still do."""
    of = settings()
    shipped = tmp_path / "shipped.network"
    shutil.copy(growth_path(trained, of.design.name, of.targets), shipped)
    monkeypatch.setattr(reader_module, "shipped_path", lambda design, targets: shipped)
    assert GrowthReader.of(grown).files[0].path == shipped
    train_growth(grown, settings(tumours=12, epochs=1))
    assert GrowthReader.of(grown).files[0].path != shipped, "the store's own comes first"
    build(tmp_path / "other", 4, 6, make_atlas(shape=(38, 36, 32)), workers=1)
    with pytest.raises(InputError, match=r"there is no network .*other.*: train one with"):
        GrowthReader.of(open_store(tmp_path / "other"))
