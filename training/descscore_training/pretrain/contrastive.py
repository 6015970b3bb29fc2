"""The contrastive objective, with any number of positives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


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
