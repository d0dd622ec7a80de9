"""The stores of a service, open and ready to be searched; a store that grows is followed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import GliodexError
from ..index import DiceIndex
from ..store.locations import files_at
from ..store.manifest import Manifest
from ..store.reader import TumorStore, open_store
from .problems import RefusedError, unusable


@dataclass(frozen=True)
class Open:
    """A store as it was at one moment.

    Args:
        name: that clients use.
        store: a snapshot.
        index: of this snapshot.
    """

    name: str
    store: TumorStore
    index: DiceIndex

    def parameters(self, tumour: int) -> dict[str, object] | None:
        """Plain values of what a tumour grew with; None where nobody knows.

        Raises:
            UnknownTumourError: there is none of that number.
        """
        known = self.store.known_parameters(tumour)
        return None if known is None else known.as_record()


class Shelf:
    """All stores of a service.

    Args:
        stores: path of each, by name.

    Raises:
        GliodexError: one cannot be opened, or holds nothing.
    """

    def __init__(self, stores: dict[str, str]) -> None:
        self._paths = stores
        self._seals = {name: Manifest.seal(files_at(path)) for name, path in stores.items()}
        self._open = {name: _opened(name, path) for name, path in stores.items()}
        self._faults: dict[str, str] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Open]:
        return iter(self._open.values())

    def __getitem__(self, name: str | None) -> Open:
        """Find a store; the only one where no name is given.

        Raises:
            RefusedError: there is no such store, or it has gone since it was opened.
        """
        if name is None and len(self._open) == 1:
            name = next(iter(self._open))
        names = ", ".join(self._open)
        if name is None:
            raise unusable(f"store is missing: it is one of {names}", "store")
        if name not in self._open:
            raise RefusedError(404, "no such store", f"there is no store of this name: it is one of {names}", "store")
        if name in self._faults:
            raise RefusedError(503, "the store cannot be used", self._faults[name], "store", {"retry-after": "30"})
        return self._open[name]

    @property
    def faults(self) -> dict[str, str]:
        """What is wrong with stores that cannot be read any more, by name."""
        return dict(self._faults)

    def refresh(self) -> None:
        """Look which stores have changed, and open these anew; requests go on with what they have."""
        with self._lock:
            for name, path in self._paths.items():
                try:
                    seal = Manifest.seal(files_at(path))
                    if seal != self._seals[name]:
                        self._open[name], self._seals[name] = _opened(name, path), seal
                    self._faults.pop(name, None)
                except (GliodexError, OSError):
                    self._faults[name] = f"the store {name} cannot be read at the moment: ask again later"


def _opened(name: str, path: str) -> Open:
    store = open_store(path)
    return Open(name, store, DiceIndex.open(store))
