"""Whole heads: found out by the image alone, and brought down to the brain."""
