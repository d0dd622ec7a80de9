"""The ways of searching that are compared, and what Ezhov et al. (2022) report of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Way:
    """A way of searching.

    Args:
        method: as on the command line.
        engine: of its codes.
        rerank: candidates put in the order of their exact Dice.
    """

    method: str
    engine: str = "flat"
    rerank: int = 0

    @property
    def name(self) -> str:
        """In tables."""
        engine = "" if self.engine == "flat" else f", {self.engine}"
        return f"{self.method}{engine}" + (f", {self.rerank} re-ranked" if self.rerank else "")

    @property
    def prepared(self) -> str:
        """What `gliodex index --method` calls what it needs."""
        return self.method.removesuffix("-standardised")


RERANKED = 200
"""Candidates that are re-ranked."""

SEARCHED = (
    Way("dice"),
    Way("ds64"),
    Way("ds32"),
    Way("vae"),
    Way("vae", "ivf"),
    Way("vae", "hnsw"),
    Way("ae"),
    Way("ae", "ivf"),
    Way("ae", "hnsw"),
    Way("hash"),
    Way("radiomics"),
    Way("radiomics-standardised"),
)
"""All ways, without re-ranking."""


@dataclass(frozen=True)
class Published:
    """A column of the paper's tables.

    Args:
        patients: top-1, top-5 and top-15 in per cent, of its real cases (Table 1).
        unseen: likewise of its 1,000 synthetic cases (Table 2); None where it gives none.
        seconds: a query, on 32 processes; networks on a GPU.
    """

    patients: tuple[float, float, float]
    unseen: tuple[float, float, float] | None
    seconds: float


PAPER = {
    "dice": Published((100.0, 100.0, 100.0), (100.0, 100.0, 100.0), 340.0),
    "ds64": Published((88.7, 100.0, 100.0), (93.5, 100.0, 100.0), 130.0),
    "ds32": Published((66.1, 96.7, 100.0), (78.9, 99.6, 100.0), 116.0),
    "vae": Published((41.9, 61.2, 80.6), None, 34.0),
    "ae": Published((33.8, 64.5, 77.4), None, 22.0),
    "hash": Published((32.2, 67.7, 82.2), None, 22.0),
    "radiomics": Published((4.92, 4.92, 9.83), None, 2.8),
}
"""Ezhov et al. (2022), Tables 1 (62 patients) and 2, for its 50,000 tumours."""
