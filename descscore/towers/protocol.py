"""What scoring, explaining and the purpose subspace ask of a model, whatever its family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch.nn.functional as F

from descscore.errors import OptionError
from descscore.towers.int8 import Int8Linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.towers.clip_embeddings import EmbeddingTower


@dataclass(frozen=True, kw_only=True)
class TextRun:
    """One run of a text tower over some texts, kept so that it can be continued.

    Attributes:
        features: embeddings before they are normalised, float32.
        site: residual stream at the site, float32.
        ends: position of each text's end token.
        keys: of each block after the site, at every position.
        values: likewise.
    """

    features: Float[Tensor, "text embedding"]
    site: Float[Tensor, "text width"]
    ends: Int[Tensor, " text"]
    keys: tuple[Float[Tensor, "text token width"], ...]
    values: tuple[Float[Tensor, "text token width"], ...]

    @property
    def embeddings(self) -> Float[Tensor, "text embedding"]:
        """Unit embeddings."""
        return F.normalize(self.features, dim=1)


@dataclass(frozen=True, kw_only=True)
class EncodedTexts:
    """What is known of some texts, in float32.

    Attributes:
        embeddings: unit embeddings.
        lengths: lengths of the embeddings before they were normalised.
        coordinates: in the purpose subspace; None without one, or if nothing reads them.
        as_captions: unit embeddings with the mean caption's coordinates; None if not asked for.
    """

    embeddings: Float[Tensor, "text width"]
    lengths: Float[Tensor, " text"]
    coordinates: Float[Tensor, "text dimension"] | None = None
    as_captions: Float[Tensor, "text width"] | None = None


class Towers(ABC):
    """An image tower and a text tower that embed into one space.

    A family with a rule for the purpose site overrides `layers`, `text_width`, `run_texts`,
    `run_on` and `from_embeddings`; the others have no `purpose`.

    Args:
        model: on the device and in the dtype to compute in.

    Attributes:
        family: as messages call it.
        prefix: of its classes in transformers.
        padded: whether every text is padded to the window, rather than begun with a start token.
    """

    family: ClassVar[str]
    prefix: ClassVar[str] = ""
    padded: ClassVar[bool] = True

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def device(self) -> torch.device:
        """Where the towers compute and their embeddings are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the towers compute in."""
        return next(self.model.parameters()).dtype

    @property
    def precision(self) -> torch.dtype:
        """`dtype`, or int8 if the linear layers compute in integers."""
        whole = any(isinstance(module, Int8Linear) for module in self.model.modules())
        return torch.int8 if whole else self.dtype

    @property
    @abstractmethod
    def width(self) -> int:
        """Dimensions of an embedding."""

    @abstractmethod
    def embed_images(
        self, pixels: Float[Tensor, "image 3 row column"]
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of normalised images, in float32."""

    @abstractmethod
    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings before they are normalised, in float32.

        Args:
            tokens: ids of each text, from its start to its end token.
        """

    @property
    def layers(self) -> int:
        """Blocks of the text tower after which a purpose subspace can be; 0 without a rule."""
        return 0

    @property
    def text_width(self) -> int:
        """Width of the text tower's residual stream."""
        raise self.no_site()

    def run_texts(
        self, tokens: Sequence[Sequence[int]], layer: int, *, keep: bool = True
    ) -> TextRun:
        """Embed texts, keeping what `run_on` needs.

        Args:
            tokens: ids of each text, from its start to its end token.
            layer: block, counted from 1, after which activations are read at the end token.
            keep: whether to keep keys and values; without them only embeddings and site are there.
        """
        raise self.no_site()

    def run_on(
        self, run: TextRun, states: Float[Tensor, "text width"], layer: int
    ) -> Float[Tensor, "text embedding"]:
        """Unit embeddings of a run's texts with other activations at the site.

        Args:
            run: of the texts, made with `keep`.
            states: residual stream to put at the site.
            layer: block after which the run was read.
        """
        raise self.no_site()

    def from_embeddings(self, start: int) -> EmbeddingTower:
        """The text tower as a function of token embeddings, for gradients.

        Args:
            start: id of the start token.
        """
        raise self.no_site()

    def no_site(self) -> OptionError:
        """The error for whoever asks a family without a rule for its purpose site."""
        return OptionError(
            f"models of the family {self.family!r} have no site for a purpose subspace and cannot "
            "be explained; use a CLIP"
        )
