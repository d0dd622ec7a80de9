import dataclasses

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.training.density_crops import (
    CORE_LEVELS,
    LEVELS_A_DENSITY,
    WHOLE_LEVELS,
    LevelBoxes,
)
from gliodex.store import open_store


def test_every_box_holds_what_may_be_outlined(grown, boxes):
    assert len(boxes) == 12
    for n, tumour in enumerate(grown.ids[:12].tolist()):
        levels = (grown.integers(tumour) >> 4).astype(np.uint8)
        again = np.zeros_like(levels)
        box = boxes.levels[boxes.starts[n] : boxes.starts[n + 1]].reshape(boxes.shape[n])
        again[tuple(slice(a, a + s) for a, s in zip(boxes.low[n], boxes.shape[n], strict=True))] = box
        shows = levels >= WHOLE_LEVELS[0]
        np.testing.assert_array_equal(again[shows], levels[shows])
        assert (again[~shows] < WHOLE_LEVELS[0]).all()
        assert boxes.parameters[n] == grown.parameters(tumour)


def test_levels_are_the_densities_of_the_paper():
    ends = np.array([*WHOLE_LEVELS, *CORE_LEVELS]) / LEVELS_A_DENSITY
    np.testing.assert_allclose(ends, [0.05, 0.5, 0.5, 0.85], atol=1 / LEVELS_A_DENSITY)


def test_progress_is_told_and_reaches_the_end(grown):
    told = []
    LevelBoxes.of(grown, 5, lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)


def test_tumours_of_unknown_growth_are_left_out(make_store, small_atlas, ball):
    frame = small_atlas.frame
    store = open_store(make_store(small_atlas, [ball(frame, (0, -17, 9), r) for r in (20, 30)]))
    with pytest.raises(InputError, match=r"holds 2 tumours whose growth is known, 3 are wanted: .*tumors"):
        LevelBoxes.of(store, 3)


def test_folded_tumours_are_not_learned_from(grown):
    records = [dataclasses.replace(record, folded=(0,)) for record in grown.segments]
    folding = grown.part([record.name for record in records])
    folding.manifest = dataclasses.replace(folding.manifest, segments=tuple(records))
    assert LevelBoxes.of(folding, 1).parameters[0] == grown.parameters(1)


def test_exact_boxes_hold_all_that_is_not_zero(grown):
    boxes = LevelBoxes.of(grown, 3, exact=True)
    for n, tumour in enumerate(grown.ids[:3].tolist()):
        again = np.zeros(grown.frame.shape, np.uint16)
        box = boxes.levels[boxes.starts[n] : boxes.starts[n + 1]].reshape(boxes.shape[n])
        again[tuple(slice(a, a + s) for a, s in zip(boxes.low[n], boxes.shape[n], strict=True))] = box
        np.testing.assert_array_equal(again, grown.integers(tumour))
