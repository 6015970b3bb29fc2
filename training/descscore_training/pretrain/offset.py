"""A constant dimension of both embeddings, so that CLIPScore's clamp at 0 loses no order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import CLIPModel


@torch.no_grad()
def offset_cosines(
    model: CLIPModel,
    images: Float[Tensor, "image 3 row column"],
    texts: Int[Tensor, "text token"],
    offset: float,
) -> None:
    """Turn a cosine c into about (1 - offset) c + offset, in place.

    A CLIP trained from scratch gives unrelated images and texts cosines around 0, half of which
    CLIPScore clamps; OpenAI's are around 0.15. To both embeddings comes one dimension of constant
    length, sqrt(offset / (1 - offset)) times their mean length. The logit scale grows by
    1 / (1 - offset), so that logits stay as they are but for a constant.

    The projections have no bias. But a layer norm's output y = g x + b has sum(y / g) = sum(b / g),
    whatever its input: so 1 / g times y is the constant. Its share in what is projected is raised
    by adding g to b, and taken back from the other dimensions.

    Args:
        model: in float32.
        images: normalised pixels, whose embeddings' mean length is taken.
        texts: token ids, as well.
        offset: at least 0 and below 1.
    """
    length = math.sqrt(offset / (1 - offset))
    seen: Any = model.get_image_features(pixel_values=images)
    read: Any = model.get_text_features(input_ids=texts)
    for norm, name, output in (
        (model.vision_model.post_layernorm, "visual_projection", seen),
        (model.text_model.final_layer_norm, "text_projection", read),
    ):
        weight = getattr(model, name).weight
        lengths = output.pooler_output.norm(dim=1)
        added = norm.weight.clone()
        norm.bias.add_(added)
        constant = (norm.bias / norm.weight).sum()
        others = weight - torch.outer(weight @ added, 1 / norm.weight) / constant
        row = length * lengths.mean() / constant / norm.weight
        wider = nn.Linear(weight.shape[1], len(weight) + 1, bias=False)
        wider.weight.copy_(torch.cat([others, row[None]]))
        setattr(model, name, wider.to(weight.device))
    model.logit_scale.add_(-math.log(1 - offset))
    model.projection_dim = len(weight) + 1
    configs: Any = (model.config, model.config.text_config, model.config.vision_config)
    for config in configs:
        config.projection_dim = len(weight) + 1
