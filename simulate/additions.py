"""Single tumours, of parameters that someone chose, into an existing store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..store.density import EncodedTumour
from ..store.parameters import GrowthParameters
from ..store.writer import writing
from .growth_models import model_in, settings_of
from .mass_effect import MassEffect


def add_simulated(path: str | Path, wanted: Sequence[GrowthParameters], provenance: dict[str, object]) -> list[int]:
    """Simulate tumours in a store's atlas, with its settings, and commit them; returns their ids.

    Raises:
        InputError: a seed is outside the brain, or the store was built with another version of the model.
        NotAStoreError, StoreLockedError, OutputError, DamagedStoreError: see each.
    """
    with writing(path, "gliodex add") as writer:
        settings = settings_of(writer.manifest.model, path, "add the density itself", same_bits=True)
        solver = model_in(writer.atlas, settings)
        tumours = []
        for parameters in wanted:
            if parameters.mass_effect and not isinstance(solver, MassEffect):
                raise InputError(f"{path} was built without mass effect", hint="leave out ‹mass_effect›")
            run = solver.grow(parameters)
            tumour = EncodedTumour.from_box(
                run.density,
                run.low,
                writer.frame,
                parameters,
                writer.manifest.thresholds,
                least_jacobian=run.least_jacobian,
            )
            if not tumour.whole_ml:
                raise InputError(
                    "the simulated tumour stays below the visibility threshold of "
                    f"{writer.manifest.thresholds['whole']}: its maximum density is {tumour.peak:.3f}"
                )
            tumours.append(tumour)
        first = writer.manifest.next_id
        writer.commit_tumours(tumours, provenance, note=f"added {len(tumours)} simulated tumours")
    return list(range(first, first + len(tumours)))
