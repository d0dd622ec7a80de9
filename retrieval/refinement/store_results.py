"""What a stage found goes into the store that it began from: the store grows denser where patients are."""

from __future__ import annotations

import numpy as np

from ...errors import OutputError, StoreLockedError
from ...store.density import EncodedTumour
from ...store.reader import TumorStore
from ...store.writer import writing
from ..imaging.transforms import SpatialMap
from .posterior import Posterior, Sample

KEPT = 8
"""Samples of a posterior that are kept at most, those of the largest weight."""


def keep(store: TumorStore, posterior: Posterior, spatial: SpatialMap) -> tuple[list[int], str | None]:
    """Commit the best sample of a posterior and those of the largest weights as tumours of the store, if they are new.

    Those that grew in the atlas are kept with their parameters. Those that grew in the patient's anatomy are carried
    to the atlas, where their parameters would give another tumour: these are kept as not known.

    Returns:
        Their ids, and why they could not be kept, where the store cannot be written.

    Raises:
        DamagedStoreError: see `writing`.
    """
    order = [0, *(int(n) for n in np.argsort(-posterior.weights, kind="stable") if n)]
    order = [n for n in order if posterior.samples[n].stored is None][:KEPT]
    if not order:
        return [], None
    tumours = [_encoded(store, posterior, posterior.samples[n], spatial) for n in order]
    provenance: dict[str, object] = {
        "kind": "refined",
        "method": posterior.method,
        "anatomy": posterior.space,
        "from": list(posterior.began_from),
        "version": store.version,
    }
    try:
        with writing(store.path, f"gliodex query, refinement by {posterior.method}") as writer:
            first = writer.manifest.next_id
            writer.commit_tumours(tumours, provenance, note=f"{len(tumours)} tumours refined by {posterior.method}")
    except (OutputError, StoreLockedError) as error:
        return [], f"what was refined is not kept in the store: {error}"
    return list(range(first, first + len(tumours))), None


def _encoded(store: TumorStore, posterior: Posterior, sample: Sample, spatial: SpatialMap) -> EncodedTumour:
    if posterior.space == "atlas":
        density, low, parameters = sample.density.values, sample.density.low, sample.parameters
    else:
        carried = spatial.to_atlas(sample.density.full(posterior.frame), posterior.frame, store.frame)
        density, low, parameters = np.clip(carried, 0.0, 1.0), (0, 0, 0), None
    least_jacobian = sample.density.least_jacobian
    return EncodedTumour.from_box(
        density, low, store.frame, parameters, store.thresholds, least_jacobian=least_jacobian
    )
