"""A store's whole life, killed before and after every single step towards the disk.

The life is a creation, three commits, a deletion and a garbage collection. Whatever the moment of the kill, the store
is in one of their states, never one older than what had been reported as done, and the rest of the life can be lived.
"""

import dataclasses
import shutil

import numpy as np
import pytest

from gliodex.errors import NotAStoreError
from gliodex.store import collect_garbage, creating, open_store, verify, writing

from .breaking import before_each_step, killed_at
from .looking import contents, contents_at, unnamed, versions

NEWEST = 5
"""Version that the life ends in: each part but the last, which collects garbage, publishes one."""

KEPT_IDS = {0: None, 1: [], 2: [0, 1], 3: [0, 1, 2, 3], 4: [0, 1, 2, 3, 4], 5: [2, 4]}
"""Ids in each version; the deletion takes all of the first segment and half of the second."""


@pytest.fixture(scope="module")
def life(tiny_atlas, tiny_tumours):
    """Parts of the life in order, each called with the path of the store."""
    first, second, third = tiny_tumours
    unknown = dataclasses.replace(third, parameters=None, snapshot=1)

    def create(path):
        with creating(path, tiny_atlas, {"model": "test"}, "test"):
            pass

    def commit(*tumours):
        def add(path):
            with writing(path, "test") as writer:
                writer.commit_tumours(tumours, {"method": "test"})

        return add

    def delete(path):
        with writing(path, "test") as writer:
            writer.delete([0, 1, 3])

    return [create, commit(first, second), commit(third, unknown), commit(second), delete, collect_garbage]


@pytest.fixture(scope="module")
def states(life, tmp_path_factory):
    """What each version of an undisturbed life holds."""
    path = tmp_path_factory.mktemp("undisturbed") / "store"
    for part in life[:-1]:
        part(path)
    states = {version: contents_at(path, version) for version in versions(path)}
    assert {version: list(state) for version, state in states.items()} == {v: KEPT_IDS[v] for v in range(1, 6)}
    return states


@pytest.fixture
def moments(life, tmp_path):
    """For each part of the life a store that has come so far (none for the first), and its steps."""
    path, moments, kinds = tmp_path / "living", [], set()
    for number, part in enumerate(life):
        before = tmp_path / f"before-{number}"
        if path.exists():
            shutil.copytree(path, before)
        steps = []
        with before_each_step(lambda name, *_, steps=steps: steps.append(name)):
            part(path)
        moments.append((before, len(steps)))
        kinds |= set(steps)
    assert kinds >= {"open", "write", "fsync", "unlink", "mkdir", "rmdir"}
    return moments


# as the disk sees it, a kill after a step is one before the next
@pytest.mark.parametrize(
    ("after", "every"),
    [(False, 4), *(pytest.param(after, 1, marks=pytest.mark.slow) for after in (False, True))],
    ids=["before-some", "before", "after"],
)
def test_a_life_killed_at_any_step_is_in_a_committed_state_and_goes_on(tmp_path, life, states, moments, after, every):
    path = tmp_path / "store"
    for number, (before, steps) in enumerate(moments):
        seen = set()
        for step in range(steps, 0, -every):
            if before.exists():
                shutil.copytree(before, path)
            done = []

            def live(report, number=number):
                for later, part in enumerate(life[number:], number + 1):
                    part(path)
                    report(later)

            assert killed_at(step, live, after=after, report=done)
            assert done == []  # a part says that it is done only after its last step
            version = state_of(path, states, least=min(number, NEWEST))
            assert version <= min(number + 1, NEWEST)
            seen.add(version)
            for part in life[version:]:
                part(path)
            assert contents_at(path) == states[NEWEST]
            assert versions(path) == [NEWEST]
            assert unnamed(path) == []
            shutil.rmtree(path)
        assert seen == ({number, number + 1} if number < NEWEST else {NEWEST})


def test_a_life_that_is_not_killed_reports_every_part(tmp_path, life, states, moments):
    done = []

    def live(report):
        for number, part in enumerate(life, 1):
            part(tmp_path / "store")
            report(number)

    all_steps = sum(steps for _, steps in moments)
    assert killed_at(all_steps, live, report=done)
    assert done == [1, 2, 3, 4, 5]
    shutil.rmtree(tmp_path / "store")
    done.clear()
    assert not killed_at(all_steps + 1, live, report=done)
    assert done == [1, 2, 3, 4, 5, 6]
    assert contents_at(tmp_path / "store") == states[NEWEST]
    assert unnamed(tmp_path / "store") == []


def state_of(path, states, least):
    """Newest version of a store, 0 where there is none yet; those that can be opened are sound."""
    if not any(path.glob("manifests/*.json")):
        assert least == 0
        with pytest.raises(NotAStoreError):
            open_store(path)
        return 0
    present = versions(path)
    assert present[-1] >= least
    store = open_store(path)
    assert contents(store) == states[store.version]
    assert len(store) == len(states[store.version])
    assert verify(store, full=True) == []
    for version in present[:-1]:
        assert open_store(path, version).ids.tolist() == KEPT_IDS[version]
    if len(present) > 1:  # what is older still is made of the same files
        assert contents_at(path, present[-2]) == states[present[-2]]
    return present[-1]


def test_garbage_collection_leaves_no_empty_folder_of_a_killed_commit(tiny_store, commit):
    for step in range(1, 8):
        assert killed_at(step, lambda: commit(tiny_store))
    collect_garbage(tiny_store)
    assert [p for p in tiny_store.rglob("*") if p.is_dir() and not any(p.iterdir())] == []


def test_what_the_states_are_compared_by_tells_them_apart(states):
    first = {version: next(iter(state.values()), None) for version, state in states.items()}
    assert first[2][0] != first[5][0]
    assert not np.array_equal(states[2][0][0], states[2][1][0])
