"""The families of models that descscore scores with, by the type in their config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from descscore.towers.clip_towers import ClipTowers
from descscore.towers.siglip_towers import SiglipTowers

if TYPE_CHECKING:
    from descscore.towers.protocol import Towers


@dataclass(frozen=True, kw_only=True)
class Family:
    """What transformers calls a family's classes, and how its texts are tokenized.

    Attributes:
        prefix: of the classes in transformers.
        towers: what a model of the family becomes.
        starts: whether a start token precedes every text.
        padded: whether every text is padded to the window.
    """

    prefix: str
    towers: type[Towers]
    starts: bool
    padded: bool

    @property
    def processor(self) -> str:
        """The image processor of a checkpoint that names none."""
        return f"{self.prefix}ImageProcessor"

    def config_class(self) -> Any:
        """The class of the configuration."""
        import transformers

        return getattr(transformers, f"{self.prefix}Config")

    def model_class(self) -> Any:
        """The class of the model."""
        import transformers

        return getattr(transformers, f"{self.prefix}Model")


FAMILIES = {
    "clip": Family(prefix="CLIP", towers=ClipTowers, starts=True, padded=False),
    "siglip": Family(prefix="Siglip", towers=SiglipTowers, starts=False, padded=True),
}
