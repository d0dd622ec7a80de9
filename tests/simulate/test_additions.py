import shutil

import numpy as np
import pytest

from gliodex.errors import InputError, NotAStoreError, StoreLockedError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, Prior, add_simulated, build
from gliodex.simulate.settings import MODEL_VERSION
from gliodex.store import creating, open_store, writing
from gliodex.store.quantization import quantise
from gliodex.store.verification import verify

MIDDLE = (5.0, -3.0, 22.0)
WANTED = [GrowthParameters(MIDDLE, 0.1, 0.05, 200), GrowthParameters((-5.0, 8.0, 24.0), 0.3, 0.03, 250)]
ASKED = {"kind": "simulated on request", "source": "a colleague"}


@pytest.fixture
def path(ellipsoid_atlas, tmp_path):
    """Path of a store without tumours, of settings that are not the default ones."""
    settings = FisherKolmogorovSettings(grey_ratio=5.0, face_mean="arithmetic")
    with creating(tmp_path / "store", ellipsoid_atlas, settings.as_record(), "test"):
        pass
    return tmp_path / "store"


def test_the_added_tumours_are_simulations_in_the_stores_atlas_with_its_settings(path, ellipsoid_atlas):
    assert add_simulated(path, WANTED, ASKED) == [0, 1]
    store = open_store(path)
    assert store.ids.tolist() == [0, 1]
    solver = FisherKolmogorov(ellipsoid_atlas, FisherKolmogorovSettings(grey_ratio=5.0, face_mean="arithmetic"))
    for tumour, parameters in enumerate(WANTED):
        assert store.parameters(tumour) == parameters
        np.testing.assert_array_equal(store.integers(tumour), quantise(solver(parameters)))
    assert verify(store, full=True) == []


def test_they_are_no_draws_and_snapshots_of_nothing(path):
    add_simulated(path, [WANTED[0], WANTED[0]], ASKED)
    store = open_store(path)
    assert store.provenance(1) == ASKED | {"draw": -1, "snapshot": 0}
    assert store.trajectories.tolist() == [0, 1], "twins, but simulated one by one"


def test_they_come_in_one_version_with_a_note(path):
    before = open_store(path)
    add_simulated(path, WANTED, ASKED)
    store = open_store(path)
    assert store.version == before.version + 1
    assert "2" in store.manifest.note
    assert len(before) == len(open_store(path, before.version)) == 0


def test_ids_go_on_where_the_store_ends_and_are_never_used_again(path):
    assert add_simulated(path, WANTED, ASKED) == [0, 1]
    with writing(path, "test") as writer:
        writer.delete([1])
    assert add_simulated(path, WANTED[:1], ASKED) == [2]
    assert open_store(path).ids.tolist() == [0, 2]


def test_a_campaign_goes_on_as_if_nothing_had_been_added(ellipsoid_atlas, tmp_path):
    prior = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))

    def fill(name, count):
        build(tmp_path / name, count, 5, ellipsoid_atlas, prior=prior, snapshots=3, workers=1)

    fill("one-go", 11)
    fill("store", 6)
    assert add_simulated(tmp_path / "store", WANTED[:1], ASKED) == [6]
    fill("store", 11)
    expected, store = open_store(tmp_path / "one-go"), open_store(tmp_path / "store")
    drawn = [t for t in store.ids.tolist() if t != 6]
    assert len(drawn) == 11
    for tumour, same in zip(drawn, expected.ids, strict=True):
        np.testing.assert_array_equal(store.integers(tumour), expected.integers(same))
        assert store.provenance(tumour) == expected.provenance(same)
    runs = dict.fromkeys(expected.trajectories.tolist())
    assert len(dict.fromkeys(store.trajectories.tolist())) == len(runs) + 1


@pytest.mark.parametrize("outside", [(500.0, 0.0, 0.0), (62.0, 62.0, 62.0)], ids=["frame", "tissue"])
def test_a_seed_outside_the_brain_is_refused_and_none_of_the_others_added(path, outside):
    with pytest.raises(InputError, match="outside"):
        add_simulated(path, [*WANTED, GrowthParameters(outside, 0.1, 0.05, 200)], ASKED)
    assert (len(open_store(path)), open_store(path).version) == (0, 1)
    assert not (path / "segments").exists()


@pytest.mark.parametrize(
    "model",
    [
        {"model": "fisher-kolmogorov 1", "grey_ratio": 10.0},
        FisherKolmogorovSettings().as_record() | {"model": "fisher-kolmogorov 3"},
        {"model": "mine"},
        {},
    ],
    ids=["other equations", "equal to rounding", "unknown", "none"],
)
def test_a_store_of_another_model_is_refused(ellipsoid_atlas, tmp_path, model):
    with creating(tmp_path / "store", ellipsoid_atlas, model, "test"):
        pass
    with pytest.raises(InputError, match=f"growth model {model.get('model')}, {MODEL_VERSION} is wanted here"):
        add_simulated(tmp_path / "store", WANTED, ASKED)
    assert open_store(tmp_path / "store").version == 1


def test_what_is_no_store_is_refused_and_not_made(tmp_path):
    with pytest.raises(NotAStoreError):
        add_simulated(tmp_path / "nothing", WANTED, ASKED)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_another_process_writes_is_refused(path):
    with writing(path, "a long build"), pytest.raises(StoreLockedError, match="a long build"):
        add_simulated(path, WANTED, ASKED)
    assert len(open_store(path)) == 0


def test_a_copied_store_takes_them_too(path, tmp_path):
    copy = shutil.copytree(path, tmp_path / "copy")
    add_simulated(path, WANTED, ASKED)
    add_simulated(copy, WANTED, ASKED)
    for tumour in (0, 1):
        np.testing.assert_array_equal(open_store(copy).integers(tumour), open_store(path).integers(tumour))


def test_a_tumour_that_never_shows_is_refused(path):
    """Without growth the seed spreads until it is nowhere above 0.2: no query could ever find it."""
    with pytest.raises(InputError, match="below the visibility threshold"):
        add_simulated(path, [GrowthParameters(MIDDLE, 0.5, 0.0, 300)], ASKED)
