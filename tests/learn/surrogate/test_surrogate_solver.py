from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.surrogate import SurrogateFile, SurrogateSolver, named_surrogate, shipped_surrogate, train_surrogate
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters

from .tiny import settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture(scope="module")
def file(anatomies, tmp_path_factory):
    path = tmp_path_factory.mktemp("surrogate") / "surrogate.network"
    train_surrogate(anatomies[:2], path, settings(tumours=36, epochs=15, rate=5e-3))
    return SurrogateFile(path)


@pytest.fixture
def solver(file, anatomies):
    return SurrogateSolver(anatomies[2].atlas, file)


@pytest.fixture
def tumours(anatomies, solver):
    """Of an unseen anatomy, as far as the network has learned such growth."""
    found = []
    for tumour in anatomies[2].ids.tolist():
        parameters = anatomies[2].parameters(tumour)
        try:
            solver.ranges.check(parameters)
        except InputError:
            continue
        found.append(parameters)
    assert len(found) > 20
    return found


def test_it_says_densities_where_the_tissue_is(solver, tumours):
    for parameters in tumours[:5]:
        density = solver(parameters)
        assert density.shape == solver.atlas.frame.shape
        assert density.dtype == np.float32
        assert density.min() >= 0
        assert density.max() <= 1
        assert (density[~solver.atlas.tissue] == 0).all()


def test_several_at_once_are_as_one_by_one(solver, tumours):
    together = solver.grow_all(tumours[:4])
    for parameters, said in zip(tumours, together, strict=False):
        alone = solver.grow(parameters)
        np.testing.assert_allclose(said.full(), alone.full(), atol=0.02)
        assert said.low == alone.low


def test_seeds_at_the_frames_border_are_padded(solver, tumours):
    tissue = np.argwhere(solver.atlas.tissue)
    for end in (tissue[tissue[:, 0].argmin()], tissue[tissue[:, 2].argmax()]):
        x, y, z = (float(v) for v in solver.atlas.frame.world(end))
        said = solver.grow(replace(tumours[0], seed_mm=(x, y, z)))
        assert said.full().shape == solver.atlas.frame.shape
        assert min(said.low) >= 0


def test_a_tumour_beyond_the_cube_or_the_limit_has_outgrown(solver, tumours):
    parameters = tumours[0]
    assert solver.grow(parameters, stop_above_ml=0.0).outgrew == bool((solver(parameters) >= 0.2).any())
    full = np.full((16, 16, 16), 0.9, np.float32)
    assert solver._growth(full, (4, 4, 4), None).outgrew
    full[[0, -1]] = full[:, [0, -1]] = full[:, :, [0, -1]] = 0
    assert not solver._growth(full, (4, 4, 4), None).outgrew


def test_growth_and_seeds_that_cannot_be_are_refused(solver, tumours):
    with pytest.raises(InputError, match="outside what the surrogate has learned"):
        solver.grow(replace(tumours[0], diffusivity=90.0))
    with pytest.raises(InputError, match="outside"):
        solver.grow(replace(tumours[0], seed_mm=tuple(solver.atlas.frame.world(np.array([0.0, 0, 0])))))
    place = solver.nearest_seed(tuple(solver.atlas.frame.world(np.array([0.0, 0, 0]))))
    solver.grow(replace(tumours[0], seed_mm=place))


def test_other_voxels_and_other_growth_models_are_refused(file, make_atlas):
    with pytest.raises(InputError, match=r"learned with voxels of 4 mm, atlas ellipsoid has 5 mm"):
        SurrogateSolver(make_atlas((32, 32, 32), spacing=5.0), file)
    with pytest.raises(InputError, match="another growth model"):
        SurrogateSolver(make_atlas((32, 32, 32)), file, FisherKolmogorovSettings(grey_ratio=5.0))


def test_what_comes_with_gliodex_is_found_by_its_name_unless_a_file_is_called_so(tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    assert named_surrogate("small").path == shipped_surrogate("small")
    (tmp_path / "small").write_bytes(file.path.read_bytes())
    assert named_surrogate("small").sha256 == file.sha256
    with pytest.raises(InputError, match="there is no network large"):
        _ = named_surrogate("large").record


@pytest.mark.slow
def test_the_one_that_comes_with_gliodex_says_tumours_of_an_anatomy_that_it_has_not_seen(icbm152):
    """Figures of many are in its card."""
    surrogate, solver = SurrogateSolver(icbm152, named_surrogate("small")), FisherKolmogorov(icbm152)
    for seed_mm in ((-22.0, -30.0, 24.0), (28.0, 18.0, 14.0), (34.0, -50.0, 8.0)):
        parameters = GrowthParameters(solver.nearest_seed(seed_mm), 0.05, 0.02, 500.0)
        said, truth = surrogate(parameters) >= 0.2, solver(parameters) >= 0.2
        assert 2 * (said & truth).sum() / (said.sum() + truth.sum()) > 0.85
