"""Where a model computes, and in what."""

from __future__ import annotations

import torch

from descscore.errors import OptionError
from descscore.option_checks import check_choice

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}


def choose_device(device: str | torch.device) -> torch.device:
    """The device that a name means; "auto" is CUDA, else MPS, else the CPU.

    Raises:
        OptionError: there is no such device, or it cannot be used here.
    """
    if device == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        usable = ("auto", "cpu", "cuda") if torch.cuda.is_available() else ("auto", "cpu")
        others = " or ".join(repr(name) for name in usable if name != str(device))
        raise OptionError(f"device {device!r} cannot be used ({reason}); choose {others}") from None
    return chosen


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The dtype that a name means; "auto" is float16 on CUDA, else float32.

    Raises:
        OptionError: there is no such dtype among those that the towers compute in.
    """
    check_choice("dtype", dtype, ("auto", *DTYPES))
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    return DTYPES[dtype]
