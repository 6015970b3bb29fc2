"""CLIP's pixels and token ids -> unit embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor
    from transformers import CLIPModel


def embed_images(
    model: CLIPModel, pixels: Float[Tensor, "image 3 row column"]
) -> Float[Tensor, "image width"]:
    """Unit embeddings of normalised images, in float32 whatever the model computes in."""
    output: Any = model.get_image_features(pixel_values=pixels)
    return F.normalize(output.pooler_output.float(), dim=1)


def image_features(
    model: CLIPModel, pixels: Float[Tensor, "image 3 row column"]
) -> Float[Tensor, "image feature"]:
    """What the vision tower gives to its projection, in float32."""
    output: Any = model.vision_model(pixel_values=pixels)
    return output.pooler_output.float()


def project_images(
    model: CLIPModel, features: Float[Tensor, "image feature"]
) -> Float[Tensor, "image width"]:
    """Unit embeddings of images from what `image_features` gave, in float32."""
    projected = model.visual_projection(features.to(model.visual_projection.weight.dtype))
    return F.normalize(projected.float(), dim=1)


def text_features(model: CLIPModel, ids: Int[Tensor, "text token"]) -> Float[Tensor, "text width"]:
    """Embeddings of texts before they are normalised, padded after their end token, in float32."""
    output: Any = model.get_text_features(input_ids=ids)
    return output.pooler_output.float()


def embed_texts(model: CLIPModel, ids: Int[Tensor, "text token"]) -> Float[Tensor, "text width"]:
    """Unit embeddings of texts, padded after their end token, in float32."""
    return F.normalize(text_features(model, ids), dim=1)


def blocks(model: CLIPModel) -> Any:
    """Blocks of the text tower, in order."""
    return model.text_model.encoder.layers


def text_width(model: CLIPModel) -> int:
    """Width of the text tower's residual stream."""
    return model.text_model.final_layer_norm.normalized_shape[0]


def without_autocast(device: torch.device) -> torch.autocast:
    """Keep the caller's mixed precision out: what is computed depends on the arguments alone."""
    return torch.autocast(device.type, enabled=False)


# Any id but the end token's, at which texts are pooled.
_PADDING = 0


def pad(tokens: Sequence[Sequence[int]], device: torch.device) -> Int[Tensor, "text token"]:
    """Token ids of texts in one rectangle, padded after each end token.

    The text tower is causal and pools at the end token: padding after it changes nothing, so no
    attention mask is needed.
    """
    longest = max(map(len, tokens))
    return torch.tensor(
        [[*ids, *[_PADDING] * (longest - len(ids))] for ids in tokens], device=device
    )


def batches_by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows grouped by similar length, longest first.

    A batch times its longest row stays within `budget` tokens, so short texts go in larger batches.
    """
    batch: list[int] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        if not batch:
            longest = lengths[row]
        batch.append(row)
    if batch:
        yield batch
