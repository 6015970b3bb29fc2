"""A SigLIP of transformers as towers; it has no rule for a purpose site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F

from descscore.towers.protocol import Towers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


class SiglipTowers(Towers):
    """SigLIP and SigLIP 2: texts of one length with padding, pooled at the last position."""

    family: ClassVar[str] = "siglip"
    prefix: ClassVar[str] = "Siglip"
    padded: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.model.text_model.head.out_features

    def embed_images(
        self, pixels: Float[Tensor, "image 3 row column"]
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of normalised images, in float32."""
        output: Any = self.model.get_image_features(pixel_values=pixels.to(self.dtype))
        return F.normalize(output.pooler_output.float(), dim=1)

    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings of token ids before they are normalised, in float32.

        Args:
            tokens: of each text, padded to the window as in training: the text tower attends to
                padding too.
        """
        output: Any = self.model.get_text_features(
            input_ids=torch.tensor([list(ids) for ids in tokens], device=self.device)
        )
        return output.pooler_output.float()
