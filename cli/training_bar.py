"""How far training is, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import Progress

from .console import bar

if TYPE_CHECKING:
    from ..learn import Epoch


class TrainingBar:
    """Two bars: tumours that are made ready, and steps of training, with the time that is left.

    Args:
        shown: where they are drawn.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._preparing = shown.add_task("preparing tumours", total=None, loss="")
        self._training = shown.add_task("training", total=None, loss="", visible=False)
        self.epochs: list[Epoch] = []
        """That were trained."""

    def prepared(self, done: int, total: int) -> None:
        """Show how many tumours are ready."""
        self._shown.update(self._preparing, completed=done, total=total)

    def step(self, done: int, total: int) -> None:
        """Show how many steps are done, of as many as there are when nothing stops them earlier."""
        self._shown.update(self._training, completed=done, total=total, visible=True)

    def epoch(self, epoch: Epoch) -> None:
        """Show what an epoch has brought."""
        self.epochs.append(epoch)
        loss = f"loss {epoch.validation:.3f}, best {epoch.best:.3f}"
        self._shown.update(self._training, description=f"trained {epoch.number} of {epoch.of} epochs", loss=loss)


@contextmanager
def training_bar() -> Iterator[TrainingBar]:
    """Show how far training is."""
    with bar("loss") as shown:
        yield TrainingBar(shown)
