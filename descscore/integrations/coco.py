"""A scorer for pycocoevalcap's loop, next to CIDEr and SPICE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from descscore.errors import PairingError
from descscore.metric import DescriptionScore

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy as np
    from jaxtyping import Float

    from descscore.inputs.items import ImageInput


class DescriptionScorer:
    """Scores captions by their images, with the interface of pycocoevalcap's scorers.

    Texts are scored unchanged: pass the original captions, not those of the PTB tokeniser, which
    removes case and punctuation that CLIP reads.

    Args:
        images: images by id.
        scorer: scores the pairs, with its options; by default `DescriptionScore()`.
        references: also use the references: scores are then RefCLIPScores.
    """

    def __init__(
        self,
        images: Mapping[Any, ImageInput],
        scorer: DescriptionScore | None = None,
        *,
        references: bool = False,
    ) -> None:
        self.images = images
        self.scorer = DescriptionScore() if scorer is None else scorer
        self.references = references

    def compute_score(
        self,
        gts: Mapping[Any, Sequence[str | Mapping[str, Any]]],
        res: Mapping[Any, Sequence[str | Mapping[str, Any]]],
    ) -> tuple[float, Float[np.ndarray, " image"]]:
        """Score one caption per image.

        Args:
            gts: for each image id its references, as strings or as COCO's annotations
                `{"caption": ...}`; without `references=True` only their ids are used.
            res: for each image id a list with its caption, in the same form.

        Returns:
            The mean score, and the score of each image in the order of `gts`. With a scorer that
            records errors, failed images are NaN and the mean ignores them.

        Raises:
            PairingError: the ids differ, an image is missing, or an id does not have one caption.
            ImageError, TextError, OptionError: as for a call of `DescriptionScore`.
        """
        ids = list(gts)
        self._check(ids, res)
        result = self.scorer(
            [self.images[name] for name in ids],
            [_text(res[name][0]) for name in ids],
            [[_text(text) for text in gts[name]] for name in ids] if self.references else None,
        )
        return result.mean, result.scores

    def method(self) -> str:
        """The score's name in pycocoevalcap's tables."""
        return "RefDescriptionScore" if self.references else "DescriptionScore"

    def _check(self, ids: list[Hashable], res: Mapping[Any, Sequence[object]]) -> None:
        alone = [name for name in ids if name not in res]
        if odd := alone + [name for name in res if name not in {*ids}]:
            where = "res" if alone else "gts"
            raise PairingError(
                f"{len(odd)} image ids are in one of gts and res only; the first, {odd[0]!r}, is "
                f"not in {where}: give both the same ids"
            )
        for name in ids:
            if name not in self.images:
                raise PairingError(f"image id {name!r} has no image; add it to images")
            if isinstance(res[name], str) or len(res[name]) != 1:
                raise PairingError(
                    f"image id {name!r} has {res[name]!r:.80} in res; give a list of one caption"
                )


def _text(value: Any) -> Any:
    return value["caption"] if isinstance(value, dict) and "caption" in value else value
