"""Linear layers in 8-bit integers, for CPUs: weights rounded once, activations as they come."""

from __future__ import annotations

import platform
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import nn

from descscore.errors import OptionError

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

_LARGEST = 127
_ZERO = 128
"""What stands for 0 among activations, which CPUs multiply without a sign."""


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
        values, scale = rounded(linear.weight.detach())
        values = values.to(torch.int16).sub_(_ZERO).to(torch.int8)
        if _sums_exactly():
            self.register_buffer("weight", torch.ops.onednn.qlinear_prepack(values, None))
        else:
            self.register_buffer("weight", values.T.contiguous())
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, inputs: Float[Tensor, "*rows width"]) -> Float[Tensor, "*rows output"]:
        """Like the linear layer, with both factors rounded."""
        return self.product(*rounded(inputs))

    def product(
        self, values: UInt8[Tensor, "*rows width"], scale: Float[Tensor, "*rows 1"]
    ) -> Float[Tensor, "*rows output"]:
        """The same of inputs that are rounded already."""
        if _sums_exactly():
            product = _onednn_product(values, self.weight, self.scale)
        else:
            signed = values.to(torch.int16).sub_(_ZERO).to(torch.int8)
            sums = torch._int_mm(  # pyright: ignore[reportPrivateImportUsage]
                signed.view(-1, signed.shape[-1]), self.weight
            )
            product = sums.view(*values.shape[:-1], -1).float().mul_(self.scale)
        product.mul_(scale)
        return product if self.bias is None else product.add_(self.bias)


def rounded(
    values: Float[Tensor, "*row width"], out: Tensor | None = None
) -> tuple[UInt8[Tensor, "*row width"], Float[Tensor, "*row 1"]]:
    """Integers from 1 to 255 that mean -127 to 127, and the unit of each row.

    Args:
        values: to round.
        out: where intermediate values go; `values` itself if nothing else reads it.
    """
    # Without `abs`, which writes all values once more.
    largest = torch.maximum(values.amax(-1, keepdim=True), values.amin(-1, keepdim=True).neg_())
    scale = largest.clamp_(min=1e-30).div_(_LARGEST)
    return torch.div(values, scale, out=out).round_().add_(_ZERO).to(torch.uint8), scale


def _onednn_product(values: Tensor, weight: Tensor, scale: Float[Tensor, " output"]) -> Tensor:
    zeros = torch.zeros(len(scale), dtype=torch.int64)
    return torch.ops.onednn.qlinear_pointwise(
        values, 1.0, _ZERO, weight, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )


@lru_cache(maxsize=1)
def _sums_exactly() -> bool:
    """Whether oneDNN multiplies here without saturating at 16 bits, as CPUs without VNNI do."""
    if platform.machine() not in {"x86_64", "AMD64"}:
        return False
    values = torch.full((1, 64), 255, dtype=torch.uint8)
    weight = torch.full((16, 64), 127, dtype=torch.int8)
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight, None)
        found = _onednn_product(values, packed, torch.ones(16))
    except (AttributeError, RuntimeError):
        return False
    return bool((found == 64 * 127 * 127).all())


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
