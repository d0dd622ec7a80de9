"""Encoders that were never trained: their codes mean little, but are as good as any to test what is done with them."""

import dataclasses

import numpy as np
import torch

from gliodex.learn import SMALL, BrainBox, encoder_path
from gliodex.learn.encoders.encoder import codes_of, save_encoder
from gliodex.learn.encoders.encoder_networks import MaskEncoder

TINY = dataclasses.replace(SMALL, name="tiny", pool=2, widths=(4,), neck=2, latent=24)


def make_encoder(store, kind, seed=0, learned_from=()):
    """Keep an encoder of random weights beside a store."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        box = BrainBox.of(store.atlas, TINY.pool, 1)
        network = MaskEncoder(kind, TINY, box.cells)
        for weights in network.parameters():
            weights.data.normal_(0, 0.3)
            weights.data.copy_(weights.data.half().float())  # as its file will hold them
    counts = np.random.default_rng(seed).integers(0, 9, (100, *box.cells), np.uint8)
    anchors = codes_of(network.eval(), counts, box).reshape(50, -1)
    record = {"kind": kind, "design": TINY.as_record(), "box": box.as_record(store.frame), "run": {}}
    record["run"] = {"seed": seed, "learned_from": {"campaigns": list(learned_from)}}
    save_encoder(encoder_path(store, kind), network, anchors, record)


def ensure_encoder(store, kind):
    """Return the store after making sure that it has an encoder."""
    if not encoder_path(store, kind).exists():
        make_encoder(store, kind)
    return store
