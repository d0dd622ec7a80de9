"""A store that lives through any order of what can be done to it, beside a model of dictionaries."""

import dataclasses
import errno
import os
import shutil
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from gliodex.errors import InputError, UnknownTumourError
from gliodex.store import (
    THRESHOLDS,
    Atlas,
    Campaign,
    EncodedTumour,
    Frame,
    GrowthParameters,
    collect_garbage,
    creating,
    open_store,
    verify,
    writing,
)

from .breaking import before_each_step, raises_at
from .looking import contents, contents_at, unnamed, versions

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
FRAME = Frame.centred((0, 0, 0), 6, 8.0)
PRIORS = [{"diffusivity": [0.1, 0.2]}, {"diffusivity": [0.1, 0.3]}]


class PulledPlug(BaseException):
    """What no `except Exception` sees, as an interrupt from the keyboard."""


ERRORS = [partial(OSError, errno.ENOSPC, "full"), partial(OSError, errno.EIO, "broken"), PulledPlug]


@cache
def pool():
    """Five tumours, and what a store has to give back of each: integers, parameters, draw and snapshot."""
    rng = np.random.default_rng(8)
    densities = [rng.random(FRAME.shape).astype(np.float32) * (rng.random(FRAME.shape) < share) for share in (1, 0.3)]
    densities += [np.full(FRAME.shape, 0.2, np.float32), np.zeros(FRAME.shape, np.float32), densities[0][::-1]]
    known = [GrowthParameters((n, -n, 0.5), 0.1 * n, 0.02, 100.0) for n in range(1, 6)]
    known[1] = known[3] = None
    made = []
    for n, (density, parameters) in enumerate(zip(densities, known, strict=True)):
        draw, snapshot = n - 1, n % 3
        tumour = EncodedTumour.from_box(density, (0, 0, 0), FRAME, parameters, THRESHOLDS, draw, snapshot)
        integers = np.floor(4095 * density.astype(np.float64)).astype("<u2").tobytes()
        made.append((tumour, integers, parameters, {"draw": draw, "snapshot": snapshot}))
    return made


@cache
def brain():
    maps = np.random.default_rng(9).random((4, *FRAME.shape)).astype(np.float32) / 3
    return Atlas("noise", FRAME, maps[0] + 0.5, *maps[1:])


@dataclasses.dataclass(frozen=True)
class Version:
    """The model of one version: what each tumour is, and what else is published."""

    tumours: dict
    next_id: int = 0
    campaigns: dict = dataclasses.field(default_factory=dict)


class Store(RuleBasedStateMachine):
    """Rules do to a store what they do to the model, or break off in the middle of it."""

    readers = Bundle("readers")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="gliodex-test-", dir=MEMORY))
        self.path = self.folder / "store"
        self.model = {}
        self.commits = 0

    def teardown(self):
        shutil.rmtree(self.folder)

    @property
    def newest(self):
        return self.model[max(self.model)]

    # What is done: each returns the action and the version that it publishes.

    def committing(self, numbers, campaign):
        self.commits += 1
        provenance = {"commit": self.commits}
        tumours = [pool()[n] for n in numbers]

        def action():
            with writing(self.path, "test") as writer:
                record = writer.commit_tumours([t for t, *_ in tumours], provenance, campaign, f"commit {numbers}")
                assert [*record.ids] == [*range(first, first + len(numbers))] if numbers else record is None

        first = self.newest.next_id
        added = {
            n: (integers, known, provenance | about) for n, (_, integers, known, about) in enumerate(tumours, first)
        }
        campaigns = self.newest.campaigns | ({campaign.key: campaign} if campaign else {})
        return action, Version(self.newest.tumours | added, first + len(numbers), campaigns)

    def deleting(self, ids):
        def action():
            with writing(self.path, "test") as writer:
                writer.delete(ids)

        left = {n: facts for n, facts in self.newest.tumours.items() if n not in ids}
        return action, dataclasses.replace(self.newest, tumours=left)

    # The rules.

    @initialize()
    def create(self):
        with creating(self.path, brain(), {"model": "test"}, "test"):
            pass
        self.model[1] = Version({})

    @rule(
        numbers=st.lists(st.integers(0, 4), max_size=3),
        campaign=st.none() | st.builds(Campaign, st.just(1), st.sampled_from(PRIORS), *[st.integers(0, 9)] * 3),
    )
    def commit(self, numbers, campaign):
        action, version = self.committing(numbers, campaign)
        action()
        self.model[max(self.model) + 1] = version

    @precondition(lambda self: self.model and self.newest.tumours)
    @rule(data=st.data())
    def delete(self, data):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.newest.tumours)), min_size=1, unique=True))
        action, version = self.deleting(ids)
        action()
        self.model[max(self.model) + 1] = version

    @rule(data=st.data(), beyond=st.integers(0, 3))
    def delete_what_is_not_there(self, data, beyond):
        gone = sorted(set(range(self.newest.next_id + beyond + 1)) - set(self.newest.tumours))
        ids = data.draw(st.lists(st.sampled_from(gone), min_size=1))
        ids += data.draw(st.lists(st.sampled_from(sorted(self.newest.tumours) or gone)))
        with pytest.raises(UnknownTumourError), writing(self.path, "test") as writer:
            writer.delete(ids)

    @rule(keep=st.integers(1, 4))
    def collect(self, keep):
        collect_garbage(self.path, keep)
        self.model = dict(sorted(self.model.items())[-keep:])
        assert unnamed(self.path, *self.model) == []
        assert collect_garbage(self.path, keep) == (0, 0)

    @rule(
        numbers=st.lists(st.integers(0, 4), min_size=1, max_size=3),
        step=st.integers(1, 70),
        error=st.sampled_from(ERRORS),
        campaign=st.none() | st.builds(Campaign, st.just(2), st.sampled_from(PRIORS), st.integers(0, 9)),
    )
    def break_off_a_commit(self, numbers, step, error, campaign):
        self.broken_off(*self.committing(numbers, campaign), step, error)

    @precondition(lambda self: self.model and self.newest.tumours)
    @rule(data=st.data(), step=st.integers(1, 10), error=st.sampled_from(ERRORS))
    def break_off_a_deletion(self, data, step, error):
        ids = data.draw(st.lists(st.sampled_from(sorted(self.newest.tumours)), min_size=1, unique=True))
        self.broken_off(*self.deleting(ids), step, error)

    def broken_off(self, action, version, step, error):
        ended = self.breaking(action, step, error)
        number = versions(self.path)[-1]
        assert number == max(self.model) + 1 if ended else number in {max(self.model), max(self.model) + 1}
        if number not in self.model:
            self.model[number] = version
        self.look(number)

    @rule(keep=st.integers(1, 3), step=st.integers(1, 25), error=st.sampled_from(ERRORS))
    def break_off_a_collection(self, keep, step, error):
        kept = set(sorted(self.model)[-keep:])
        ended = self.breaking(lambda: collect_garbage(self.path, keep), step, error)
        present = set(versions(self.path))
        assert present == kept if ended else kept <= present <= set(self.model)
        self.model = {number: self.model[number] for number in sorted(present)}
        for number in self.model:
            self.look(number)

    def breaking(self, action, step, kind):
        """Whether the action ended before the step at which it was to be broken off."""
        error, raised = kind(), None
        try:
            with before_each_step(raises_at(step, error)):
                action()
        except (OSError, PulledPlug) as caught:
            raised = caught
        assert raised is None or error in (raised, raised.__cause__)
        return raised is None

    @rule(target=readers, data=st.data())
    def open_and_keep_open(self, data):
        number = data.draw(st.sampled_from(sorted(self.model)))
        return open_store(self.path, number), number, self.model[number]

    @rule(reader=readers)
    def read_what_was_opened_before(self, reader):
        store, number, version = reader
        if self.model.get(number) is version:
            assert contents(store) == version.tumours

    @rule(reader=consumes(readers))
    def verify_what_was_opened_before(self, reader):
        store, number, version = reader
        assert store.ids.tolist() == sorted(version.tumours)
        if self.model.get(number) is version:
            assert verify(store, full=True) == []

    @rule(data=st.data())
    def look_at_a_version(self, data):
        self.look(data.draw(st.sampled_from(sorted(self.model))))

    def look(self, number):
        store, version = open_store(self.path, number), self.model[number]
        assert contents(store) == version.tumours
        assert (len(store), store.version) == (len(version.tumours), number)
        assert store.manifest.next_id == version.next_id
        assert store.manifest.campaigns == version.campaigns
        for gone in {*range(version.next_id + 1)} - {*version.tumours}:
            with pytest.raises(UnknownTumourError):
                store.density(gone)
        assert verify(store, full=True) == []

    @rule(number=st.integers(0, 30))
    def open_what_is_not_there(self, number):
        if number not in self.model:
            with pytest.raises(InputError, match=f"no version {number}:"):
                open_store(self.path, number)

    @precondition(lambda self: self.model)
    @invariant()
    def holds_just_these_versions(self):
        assert versions(self.path) == sorted(self.model)
        assert contents_at(self.path).keys() == self.newest.tumours.keys()


TestStore = Store.TestCase
TestStore.settings = settings(
    deadline=None, stateful_step_count=15, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
