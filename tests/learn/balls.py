"""Label maps of nested balls: the simplest two outlines."""

import numpy as np

SHAPE = (15, 14, 13)


def balls(targets):
    """Of each: place along the first axis, radius of the whole, radius of the core over it."""
    x, y, z = np.indices(SHAPE)
    maps = []
    for place, radius, share in targets:
        distance = np.sqrt((x - place) ** 2 + (y - 7) ** 2 + (z - 6) ** 2)
        maps.append((distance <= radius).astype(np.uint8) + (distance <= share * radius))
    return np.array(maps, np.uint8)
