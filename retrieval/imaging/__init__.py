"""A patient's images: read, understood, placed in the atlas."""
