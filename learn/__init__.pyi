from .encoders.encoder import Encoder, encoder_path, encoder_record, encoder_sha256, load_encoder, verify_encoder
from .encoders.encoder_configs import AUTHORS, DESIGNS, KINDS, SMALL, Design
from .encoders.encoder_training import TrainingSettings, train
from .encoders.pooled_grid import BrainBox
from .training.devices import DEVICES
from .training.loop import Epoch

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
