from .brain_box import BrainBox
from .designs import AUTHORS, DESIGNS, KINDS, SMALL, Design
from .devices import DEVICES
from .encoder import Encoder, encoder_path, encoder_record, encoder_sha256, load_encoder, verify_encoder
from .fitting import Epoch
from .training import TrainingSettings, train

__all__ = [
    "AUTHORS",
    "DESIGNS",
    "DEVICES",
    "KINDS",
    "SMALL",
    "BrainBox",
    "Design",
    "Encoder",
    "Epoch",
    "TrainingSettings",
    "encoder_path",
    "encoder_record",
    "encoder_sha256",
    "load_encoder",
    "train",
    "verify_encoder",
]
