"""How far training is, on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..learn import Epoch
from .console import bar


@contextmanager
def training_bar(trained: list[Epoch]) -> Iterator[tuple[Callable[[int, int], None], Callable[[Epoch], None]]]:
    """Show how far training is; epochs are appended to `trained`."""
    with bar("loss") as shown:
        preparing = shown.add_task("preparing tumours", total=None, loss="")
        training = shown.add_task("training", total=None, loss="", visible=False)

        def prepared(done: int, total: int) -> None:
            shown.update(preparing, completed=done, total=total)

        def show(epoch: Epoch) -> None:
            trained.append(epoch)
            loss = f"loss {epoch.validation:.3f}, best {epoch.best:.3f}"
            shown.update(training, completed=epoch.number, total=epoch.of, loss=loss, visible=True)

        yield prepared, show
