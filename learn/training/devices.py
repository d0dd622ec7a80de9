"""Where networks run, and what they need."""

from __future__ import annotations

from typing import Any

from ...errors import InputError


def require_torch() -> Any:
    """PyTorch, or word of what is missing.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError("networks need another package", hint="pip install 'gliodex[learn]'") from error
    return torch


def require_device(device: str) -> None:
    """Refuse a device that PyTorch cannot use.

    Raises:
        InputError: it is neither "cpu" nor "cuda", or there is no such GPU.
    """
    if device not in DEVICES:
        raise InputError(f"a device is one of {', '.join(DEVICES)}, not {device}")
    if device == "cuda" and not require_torch().cuda.is_available():
        raise InputError("PyTorch finds no NVIDIA GPU that it can use here", hint="leave out ‹device=cuda›")


def mixed_precision(device: str) -> bool:
    """Whether a device calculates faster with halves of numbers."""
    return device == "cuda" or bool(require_torch().cpu.get_capabilities().get("avx512_bf16", False))


DEVICES = ("cpu", "cuda")
"""Where networks can run."""
