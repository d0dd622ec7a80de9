import threading

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.training import loop
from gliodex.learn.training.loop import Fit, Schedule, ahead

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


class Line:
    """A task: to learn that a number is 3, with validation losses that a test dictates, on a GPU with little memory."""

    def __init__(self, losses=(), batch=8, fits=8):
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.batch, self.fits, self._losses, self.seen = batch, fits, list(losses), []

    @property
    def kept(self):
        return self.network

    @property
    def steps(self):
        return 16 // self.batch

    def losses(self):
        for _ in range(self.steps):
            if self.batch > self.fits:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.seen.append(self.batch)
            loss = (self.network(torch.ones(1, 1)) - 3).square().mean()
            yield loss, loss.new_zeros(())

    def validation(self):
        if self._losses:
            return self._losses.pop(0)
        return float((self.network.weight - 3).square())

    def halve(self):
        self.batch //= 2
        return self.batch > 0


def fit_of(folder, **schedule):
    schedule = {"rate": 0.1, "epochs": 20, "patience": 3, "seed": 0} | schedule
    return Fit("a line", {"run": 1}, folder / "line.checkpoint", Schedule(**schedule))


def test_a_task_is_learned(tmp_path):
    network = fit_of(tmp_path, epochs=100, patience=100).learn(Line)
    assert network.weight.item() == pytest.approx(3, abs=0.05)


def test_fitting_stops_where_nothing_is_gained_and_keeps_the_best_epoch(tmp_path):
    fit, seen = fit_of(tmp_path), []
    network = fit.learn(lambda: Line([5, 4, 3, 3.5, 3.6, 3.7, 1]), lambda epoch: seen.append(made_weight(fit, epoch)))
    assert [validation for _, validation in fit.history] == [5, 4, 3, 3.5, 3.6, 3.7], "three without a gain"
    assert network.weight.item() == pytest.approx(seen[2], abs=2e-3), "in half precision"


def made_weight(fit, epoch):
    return float(fit._best_weights["weight"]) if epoch.number == 3 else None


def test_steps_are_told_as_parts_of_all(tmp_path):
    told = []
    fit_of(tmp_path, epochs=3).learn(Line, on_step=lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]


def test_steps_that_do_not_fit_are_halved_and_a_run_that_goes_on_remembers(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "_SHARE_SAVING", 1e9)

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(epoch):
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        fit_of(tmp_path, epochs=4).learn(lambda: Line(fits=2), stop)
    made = Line(fits=2)
    fit = fit_of(tmp_path, epochs=4)
    fit.learn(lambda: made)
    assert fit.halved == 2
    assert made.seen == [2] * 16, "it never tries what did not fit"
    assert fit.record(made.network, "cuda")["halved"] == 2


def test_a_gpu_too_small_for_the_network_or_one_example_is_told(tmp_path):
    def none():
        raise torch.OutOfMemoryError("CUDA out of memory")

    for task in (none, lambda: Line(fits=0)):
        with pytest.raises(InputError, match="memory does not suffice to train a line: leave out device=cuda"):
            fit_of(tmp_path).learn(task)


def test_what_is_no_record_of_a_run_is_not_known(tmp_path):
    assert fit_of(tmp_path).known(tmp_path / "line", lambda: {"something": "else"}, restart=False) is None
    assert fit_of(tmp_path).known(tmp_path / "line", lambda: {"run": {"run": 1}}, restart=False) is not None


def test_the_rate_falls_as_a_half_cosine_to_a_fiftieth():
    schedule = Schedule(0.5, 10, 3, 0)
    found = [schedule.rate_at(step, 4) for step in range(41)]
    np.testing.assert_allclose(found, 0.5 * (0.02 + 0.98 * (1 + np.cos(np.pi * np.arange(41) / 40)) / 2))
    assert schedule.rate_at(80, 4) == pytest.approx(0.01), "and stays there"


def test_the_rate_decays_by_a_factor_a_step():
    schedule = Schedule(6e-5, 100, 3, 0, decay=0.999997)
    assert schedule.rate_at(0, 7) == 6e-5
    assert schedule.rate_at(231_048, 7) == pytest.approx(3e-5, rel=1e-4)


def test_the_rate_rises_over_the_first_steps():
    schedule = Schedule(1.0, 100, 3, 0, decay=1.0, warm_up=3)
    assert [schedule.rate_at(step, 9) for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


def test_all_parts_are_looked_at_in_turn():
    assert list(ahead(lambda part: part * part, range(5))) == [0, 1, 4, 9, 16]
    assert list(ahead(lambda part: part, [])) == []


def test_the_next_part_is_looked_at_while_one_is_learned_from():
    seen = [threading.Event() for _ in range(3)]

    def look(part: int) -> int:
        seen[part].set()
        return part

    for part in ahead(look, range(3)):
        if part < 2:
            assert seen[part + 1].wait(10), "nobody looks ahead"
        if part < 1:
            assert not seen[part + 2].is_set(), "one part ahead, not more: each takes memory"


def test_what_goes_wrong_in_looking_is_told():
    def look(part: int) -> int:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        list(ahead(look, range(3)))
