import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.evaluation.held_out_sets import SPOILT, QuerySet, patients, perturbed, unseen

from ..retrieval.anatomy import STORE_SEED, brats_labels, write_nifti


def ball(centre, radius, shape=(30, 28, 26)):
    return radius**2 >= ((np.indices(shape).T - centre) ** 2).sum(-1).T


@pytest.fixture
def drawn():
    found = QuerySet("drawn", (30, 28, 26))
    for label in "abcdefgh":
        found.add(label, ball((15, 14, 13), 4), ball((15, 14, 13), 8))
    return found


def test_unseen_tumours_are_none_of_the_stores_and_the_same_each_time(brain_store):
    found = unseen(brain_store, 2, seed=8)
    again = unseen(brain_store, 2, seed=8)
    for (core, whole), (core_again, whole_again) in zip(found, again, strict=True):
        np.testing.assert_array_equal(core, core_again)
        np.testing.assert_array_equal(whole, whole_again)
        assert (core <= whole).all()
        assert 3 <= whole.sum() * brain_store.frame.voxel_ml <= 250
        for tumour in brain_store.ids.tolist():
            assert (whole != (brain_store.density(tumour) >= np.float32(0.2))).any()


def test_a_seed_that_the_store_was_built_with_is_refused(brain_store):
    with pytest.raises(InputError, match="another seed"):
        unseen(brain_store, 1, STORE_SEED)


def test_each_way_of_spoiling_has_its_turn_and_is_the_same_each_time(drawn):
    found, again = perturbed(drawn, 5), perturbed(drawn, 5)
    assert found.labels == list(SPOILT) * 2
    for query, same, other in zip(found, again, perturbed(drawn, 6), strict=True):
        for n in (0, 1):
            np.testing.assert_array_equal(query[n], same[n])
        assert any((query[n] != other[n]).any() for n in (0, 1)) or query[0].sum() == other[0].sum()
    for core, whole in found:
        assert core.dtype == whole.dtype == bool
        assert (core <= whole).all()
        assert (core != drawn[0][0]).any() or (whole != drawn[0][1]).any()


def spoilt(drawn, how, seed=1):
    core, whole = drawn[0]
    return (core, whole), SPOILT[how](core, whole, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_shifting_moves_both_masks_by_the_same_few_voxels(drawn, seed):
    before, after = spoilt(drawn, "shifted", seed)
    steps = [np.argwhere(b).mean(0) - np.argwhere(a).mean(0) for a, b in zip(before, after, strict=True)]
    np.testing.assert_allclose(steps[0], steps[1])
    assert np.abs(steps[0]).max() <= 3
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.roll(a, np.rint(steps[0]).astype(int), (0, 1, 2)), b)


def test_dilating_adds_voxels_within_two_of_the_mask(drawn):
    before, after = spoilt(drawn, "dilated")
    for a, b in zip(before, after, strict=True):
        assert (b >= a).all()
        assert b.sum() > a.sum()
        away = np.abs(np.argwhere(b & ~a)[:, None] - np.argwhere(a)[None]).sum(-1).min(1)
        assert away.max() <= 2


def test_gaps_leave_out_about_a_fifth(drawn):
    lost = []
    for seed in range(20):
        before, after = spoilt(drawn, "with gaps", seed)
        assert (after[0] <= before[0]).all()
        assert (after[1] <= before[1]).all()
        lost.append(1 - after[1].sum() / before[1].sum())
    assert 0.1 < np.mean(lost) < 0.3


def test_mislabelling_exchanges_labels_in_a_ball_and_keeps_the_whole(drawn):
    before, after = spoilt(drawn, "mislabelled")
    np.testing.assert_array_equal(before[1], after[1])
    changed = np.argwhere(before[0] != after[0])
    assert len(changed)
    assert np.linalg.norm(changed - changed.mean(0), axis=1).max() <= 2 * 4.1
    assert before[1][tuple(changed.T)].all()


class TestPatients:
    @pytest.fixture
    def cohort(self, brain_store, tmp_path):
        for n, tumour in enumerate((3, 7)):
            folder = tmp_path / "cohort" / f"patient{n}"
            folder.mkdir(parents=True)
            labels = brats_labels(brain_store.density(tumour))
            if n:
                labels[labels == 4] = 3  # another name of what enhances
            write_nifti(folder / "seg.nii.gz", labels, brain_store.frame.affine)
        return tmp_path / "cohort"

    def test_masks_are_those_of_the_labels_all_but_oedema_being_core(self, brain_store, cohort):
        found = patients(brain_store, cohort, "atlas")
        assert found.labels == ["patient0", "patient1"]
        for (core, whole), tumour in zip(found, (3, 7), strict=True):
            density = brain_store.density(tumour)
            np.testing.assert_array_equal(core, density >= np.float32(0.6))
            np.testing.assert_array_equal(whole, density >= np.float32(0.2))

    def test_a_folder_without_patients_is_refused(self, brain_store, tmp_path):
        with pytest.raises(InputError, match="holds no patients"):
            patients(brain_store, tmp_path)

    def test_a_patient_outside_the_atlas_is_named(self, brain_store, cohort):
        away = brain_store.frame.affine.copy()
        away[:3, 3] += 1000
        labels = brats_labels(brain_store.density(3))
        write_nifti(cohort / "patient1" / "seg.nii.gz", labels, away)
        with pytest.raises(InputError, match="patient1"):
            patients(brain_store, cohort, "atlas")
