import threading

import numpy as np
import pytest

from gliodex.learn.fitting import Schedule, ahead


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
