"""The objectives, as functions of logits: nats, mean over pairs (Zur et al. 2024, section 3).

A logit is exp(logit_scale) cos(image, text) of the pair's image. `x_from_y` is the logit of x after
an interchange that gave it y's coordinates in the purpose subspace, the image being x's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from descscore.towers.clip import without_autocast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor


def behavioral(
    caption: Float[Tensor, " pair"], description: Float[Tensor, " pair"]
) -> Float[Tensor, ""]:
    """Prefer the description: CE([caption, description], 1)."""
    return prefer(description, caption)


def iit_das(
    caption: Float[Tensor, " pair"],
    description: Float[Tensor, " pair"],
    caption_from_description: Float[Tensor, " pair"],
    description_from_caption: Float[Tensor, " pair"],
) -> Float[Tensor, ""]:
    """The subspace carries the preference, both ways.

    The mean of CE([caption, caption_from_description], 1) and
    CE([description, description_from_caption], 0). With the identity basis this is plain IIT.
    """
    raised = prefer(caption_from_description, caption)
    lowered = prefer(description, description_from_caption)
    return (raised + lowered) / 2


def joint(
    alpha: float, interchanged: Float[Tensor, ""], behavior: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """`alpha` of iit-das and the rest of behavioral."""
    return alpha * interchanged + (1 - alpha) * behavior


def prefer(higher: Float[Tensor, " pair"], lower: Float[Tensor, " pair"]) -> Float[Tensor, ""]:
    """Two-way softmax cross-entropy with the first as its target."""
    logits = torch.stack([higher, lower], 1).float()
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def reader(
    logits: Sequence[Float[Tensor, " pair"]], wanted: Sequence[Float[Tensor, " pair"]]
) -> Float[Tensor, ""]:
    """Cross-entropy of the probe from the probabilities that it should give, in nats per text.

    Args:
        logits: of being a description, the captions' and the descriptions'.
        wanted: probabilities of it.
    """
    return torch.stack(list(map(F.binary_cross_entropy_with_logits, logits, wanted))).mean()


def relevance(
    images: Float[Tensor, "pair width"],
    captions: Float[Tensor, "pair width"],
    descriptions: Float[Tensor, "pair width"],
    own_image: Bool[Tensor, " pair"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Keep telling the batch's images apart: a contrastive loss, not in the paper.

    Both texts of an image are positives against the other images' texts; zero without images.

    Args:
        images: unit embeddings.
        captions: unit embeddings.
        descriptions: unit embeddings.
        own_image: whether the pair's image is its own, and no stand-in.
        scale: exp(logit_scale).
    """
    if not own_image.any():
        return scale.new_zeros(())
    own = torch.eye(len(images), dtype=torch.bool, device=images.device)[own_image]
    texts = torch.cat([captions, descriptions])
    # A product in half precision would lose the small differences that are told apart here.
    with without_autocast(images.device):
        similarity = scale.float() * images[own_image].float() @ texts.float().T
        return contrastive_loss(similarity, torch.cat([own, own], 1))


def drift(
    images: Float[Tensor, "image width"],
    texts: Float[Tensor, "text width"],
    base_images: Float[Tensor, "image width"],
    base_texts: Float[Tensor, "text width"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """How far texts of one kind have moved, as images see them: what stands in for relevance.

    The Kullback-Leibler divergence of each image's softmax over the texts from the base model's
    (learning without forgetting, Li and Hoiem 2017), mean over images, in nats. A shift that is the
    same for all the texts costs nothing: descriptions may all rise, but not past each other.

    Args:
        images: unit embeddings, of any images.
        texts: unit embeddings of texts of one kind: captions, descriptions or anchors.
        base_images: the base model's of the images.
        base_texts: the base model's of the texts.
        scale: exp(logit_scale).
    """
    with without_autocast(images.device):
        sides = ((images, texts), (base_images, base_texts))
        now, before = (
            (scale.float() * seen.float() @ side.float().T).log_softmax(1) for seen, side in sides
        )
        return F.kl_div(now, before, reduction="batchmean", log_target=True)


def contrastive_loss(
    similarity: Float[Tensor, "row column"], positive: Bool[Tensor, "row column"]
) -> Float[Tensor, ""]:
    """Cross-entropy of each row over columns and each column over rows, in nats, both averaged.

    A row with several positives shares its target evenly among them; one with none is left out.
    """
    loss = similarity.new_zeros(())
    for logits, target in ((similarity, positive), (similarity.T, positive.T)):
        count = target.sum(1)
        share = target / count.clamp(min=1)[:, None]
        nats = -(share * logits.log_softmax(1)).sum(1)
        loss = loss + nats.sum() / (count > 0).sum().clamp(min=1)
    return loss / 2
