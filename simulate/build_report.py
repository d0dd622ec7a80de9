"""What a build says of itself while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

COMMIT_SECONDS = 10.0
"""A build commits what it has at least this often: a kill loses no more."""


@dataclass
class BuildReport:
    """What a build has done so far.

    Args:
        count: tumours of the campaign now in the store.
        target: how many it shall have.
        added: simulated by this call.
        draws: settled by this call.
        kept_draws: of these, in the store with one tumour or more.
        previewed_out: of these, turned down before being simulated.
        unsolved: of these, whose equations could not be solved.
        seconds: since the call.
    """

    count: int
    target: int
    added: int = 0
    draws: int = 0
    kept_draws: int = 0
    previewed_out: int = 0
    unsolved: int = 0
    seconds: float = 0.0

    @property
    def accepted_share(self) -> float:
        """Draws kept, of all draws."""
        return self.kept_draws / self.draws if self.draws else 0.0

    @property
    def per_second(self) -> float:
        """Tumours kept per second."""
        return self.added / self.seconds if self.seconds else 0.0


Progress = Callable[[BuildReport], None]
