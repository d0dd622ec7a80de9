"""The exceptions of gliodex: one small tree, each message saying what was wrong, where, and what to do next.

`GliodexError` is everything a user can mend: the command line prints its message on one line and exits with 2.
Anything else that escapes is a fault of the program and exits with 1.
"""

from __future__ import annotations


class GliodexError(Exception):
    """Root of the tree: catch this to catch every error that gliodex raises on purpose."""


class InputError(GliodexError, ValueError):
    """A file, array or option that cannot be used as given."""


class UnsolvedError(InputError):
    """A tumour whose equations could not be solved."""


class OutputError(GliodexError, OSError):
    """A place that cannot be written to."""


class StoreError(GliodexError):
    """Something about a tumour store."""


class NotAStoreError(StoreError):
    """The path holds no gliodex store."""


class NewerSchemaError(StoreError):
    """The store was written by a newer schema than this version reads."""


class DamagedStoreError(StoreError):
    """A byte of the store is not what was written."""


class StoreLockedError(StoreError):
    """Another process is committing to the store."""


class UnknownParametersError(StoreError):
    """The tumour was added as a density alone: nobody knows what it was grown with."""


class UnknownTumourError(StoreError, KeyError):
    """The snapshot holds no tumour of that id."""

    def __str__(self) -> str:
        """Show the plain message: KeyError would show its repr."""
        return str(self.args[0])
