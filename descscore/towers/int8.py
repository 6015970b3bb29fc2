"""Linear layers in 8-bit integers, for CPUs: weights rounded once, activations as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from descscore.errors import OptionError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_LARGEST = 127


class Int8Linear(nn.Module):
    """A linear layer whose product is of int8 by int8, summed in int32.

    Symmetric: a scale for each output of the weights, and for each row of activations (dynamic
    quantisation), so a text's embedding does not depend on the texts that are encoded beside it.

    Args:
        linear: in float32.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        values, scale = _rounded(linear.weight.detach())
        self.register_buffer("weight", values.T.contiguous())
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows output"]:
        """Like the linear layer, with both factors rounded."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        values, scale = _rounded(rows)
        product = torch._int_mm(values, self.weight)  # pyright: ignore[reportPrivateImportUsage]
        product = product.float().mul_(scale).mul_(self.scale)
        if self.bias is not None:
            product += self.bias
        return product.view(*inputs.shape[:-1], -1)


def to_int8(model: nn.Module, device: torch.device) -> None:
    """Replace the linear layers of a model's blocks; projections and embeddings stay in float32.

    Raises:
        OptionError: the device is no CPU.
    """
    if device.type != "cpu":
        raise OptionError(
            f"dtype is 'int8', which computes on CPUs, and the device is {str(device)!r}; choose "
            "dtype='float16' or device='cpu'"
        )
    for stack in (module for module in model.modules() if isinstance(module, nn.ModuleList)):
        for block in list(stack.modules()):
            for name, child in list(block.named_children()):
                if type(child) is nn.Linear:
                    setattr(block, name, Int8Linear(child))


def _rounded(
    values: Float[Tensor, "row width"],
) -> tuple[Tensor, Float[Tensor, "row 1"]]:
    """Integers from -127 to 127, and what each row of them is to be multiplied by."""
    scale = values.abs().amax(1, keepdim=True).clamp(min=1e-30) / _LARGEST
    return (values / scale).round_().to(torch.int8), scale
