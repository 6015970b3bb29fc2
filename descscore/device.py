"""Where a model computes."""

from __future__ import annotations

import torch

from descscore.errors import OptionError


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
        raise OptionError(
            f"device {device!r} cannot be used ({reason}); choose 'auto', 'cpu' or 'cuda'"
        ) from None
    return chosen
