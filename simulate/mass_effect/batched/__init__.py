"""The growth model with mass effect for many tumours at once, in PyTorch: on a GPU, or a processor in tests.

The steps are those of `MassEffect`, tumour by tumour; what differs is that all make them side by side, each array with
an axis more. PyTorch, because the same code then runs, and is tested, where there is no GPU.
"""

from __future__ import annotations

from ....errors import InputError


def require_pytorch_gpu() -> None:
    """Refuse where there is no GPU that PyTorch can use.

    Raises:
        InputError: PyTorch is not installed, or finds none.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            "‹device=cuda›: tumours with mass effect are simulated by PyTorch there",
            hint="pip install 'gliodex[learn]'",
        ) from error
    if not torch.cuda.is_available():
        raise InputError(
            "‹device=cuda›: PyTorch finds no NVIDIA GPU on this machine",
            hint="leave ‹device› out to use the CPU",
        )
