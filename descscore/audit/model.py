"""What a model says of images and their names: for review, never a violation.

Scores of different CLIPs are not on one scale. So an image's fit to its own name is compared with
its fit to names that have nothing to do with it, which needs no threshold of any model.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from descscore.audit.addresses import digest
from descscore.audit.vocabulary import DECORATIVE, INFORMATIVE, UNRELATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from descscore import DescriptionScore
    from descscore.audit.elements import ImageElement

LOW_FIT = 0.25
"""Share of unrelated texts that must fit better than a name for it to be a poor one."""

CAPTION_LIKE = 0.2
"""P(description) below which a text reads as a caption."""

SMALLEST = 100
"""Pixels of the shorter side of an image that can carry information although it is decorative."""

_MOST_PER_PAGE = 400
_KEPT = 20_000
_LEAST_WORDS = 3

Judgement = tuple[str, "ImageElement", str]
"""The id of a rule, an image that breaks it, and what is wrong in words."""


class ModelJudge:
    """Judges images and their names with a metric that records errors.

    Args:
        metric: `DescriptionScore(..., on_error="record")`.
        read: the encoded image of an element; None if it cannot be read.

    Attributes:
        unread: addresses of images of the last page that could not be read.
    """

    def __init__(
        self, metric: DescriptionScore, read: Callable[[ImageElement], bytes | None]
    ) -> None:
        self.metric = metric
        self.read = read
        self.unread: list[str] = []
        self._images: OrderedDict[str, np.ndarray] = OrderedDict()
        self._unrelated = metric.embed_texts(UNRELATED).values
        self._kinds = metric.embed_texts((*INFORMATIVE, *DECORATIVE)).values

    def __call__(self, elements: list[ImageElement]) -> Iterator[Judgement]:
        """What the model finds on a page."""
        judged = [each for each in elements if _can_be_read(each)][:_MOST_PER_PAGE]
        images = self._embed(judged)
        self.unread = [each.src for each in judged if id(each) not in images and not _is_svg(each)]
        named = [each for each in judged if each.exposed and _is_english(each)]
        yield from self._caption_like(named)
        texts = self.metric.embed_texts([each.name for each in named]).values if named else ()
        pairs = [
            (each, images[id(each)], text)
            for each, text in zip(named, texts, strict=True)
            if id(each) in images and np.isfinite(text).all()
        ]
        yield from self._poor_fits(pairs)
        yield from self._informative(
            [each for each in judged if not each.exposed and not each.hidden], images
        )

    def _embed(self, elements: list[ImageElement]) -> dict[int, np.ndarray]:
        """Embeddings by the id of an element; each distinct image is encoded once in a run."""
        keys: dict[int, str] = {}
        new: dict[str, bytes] = {}
        for element in elements:
            content = self.read(element)
            if content is not None:
                keys[id(element)] = key = digest(content)
                if key not in self._images:
                    new[key] = content
        found: dict[str, np.ndarray] = {}
        if new:
            values = self.metric.embed_images(list(new.values())).values
            found = {
                key: row for key, row in zip(new, values, strict=True) if np.isfinite(row).all()
            }
        found |= {key: self._images[key] for key in keys.values() if key in self._images}
        self._images.update(found)
        while len(self._images) > _KEPT:
            self._images.popitem(last=False)
        return {each: found[key] for each, key in keys.items() if key in found}

    def _poor_fits(
        self, pairs: list[tuple[ImageElement, np.ndarray, np.ndarray]]
    ) -> Iterator[Judgement]:
        """Names that fit another image of the page better, and names that fit none."""
        if not pairs:
            return
        elements = [element for element, _, _ in pairs]
        images = np.stack([image for _, image, _ in pairs])
        texts = np.stack([text for _, _, text in pairs])
        unrelated = images @ self._unrelated.T
        cosines = images @ texts.T
        own = np.diag(cosines)
        spread = unrelated.std(axis=1)
        for row, element in enumerate(elements):
            # What both would gain if they gave each other their names, in the images' own spread.
            gain = (cosines[:, row] - own) / spread + (cosines[row, :] - own[row]) / spread[row]
            gain[[other.name == element.name for other in elements]] = 0
            other = int(gain.argmax())
            better = min(cosines[other, row] - own[other], cosines[row, other] - own[row])
            if gain[other] > 2 and better > 0:
                place = elements[other].place
                problem = f"{element.quoted} fits the image at {place} better, and vice versa"
                yield "possibly-swapped", element, problem
                continue
            share = float((unrelated[row] > own[row]).mean())
            if share > LOW_FIT and not self._fits_context(element):
                problem = f"{element.quoted} fits worse than {share:.0%} of unrelated texts"
                yield "low-fit", element, problem

    def _fits_context(self, element: ImageElement) -> bool:
        """The paragraph around an image makes up for a name that the image alone does not show.

        By the contextual CLIPScore (Kreiss et al. 2022a), again beside unrelated texts: so a
        portrait may be named after whom the paragraph is about.
        """
        content = self.read(element)
        if not element.context or content is None:
            return False
        scores = self.metric(content, [element.name, *UNRELATED], context=element.context)
        fits = scores.context_scores
        return fits is not None and float((fits[1:] >= fits[0]).mean()) <= LOW_FIT

    def _caption_like(self, named: list[ImageElement]) -> Iterator[Judgement]:
        long = [each for each in named if len(each.name.split()) >= _LEAST_WORDS]
        if self.metric.purpose_subspace is None or not long:
            return
        read = self.metric.purpose([each.name for each in long])
        for element, probability in zip(long, read, strict=True):
            if probability < CAPTION_LIKE:
                problem = f"{element.quoted} reads as a caption (P(description) {probability:.2f})"
                yield "caption-like", element, problem

    def _informative(
        self, decorative: list[ImageElement], images: dict[int, np.ndarray]
    ) -> Iterator[Judgement]:
        for element in decorative:
            row = images.get(id(element))
            if row is None or _is_small(self.read(element)) or _is_told(element):
                continue
            fits = self._kinds @ row
            if fits[: len(INFORMATIVE)].max() > fits[len(INFORMATIVE) :].max():
                kind = INFORMATIVE[int(fits[: len(INFORMATIVE)].argmax())]
                problem = f"is marked as decorative, but looks like {kind}"
                yield "possibly-informative", element, problem


def _is_svg(element: ImageElement) -> bool:
    """A drawing, which no model reads."""
    return ".svg" in element.image.lower() or element.image.startswith("data:image/svg")


def _can_be_read(element: ImageElement) -> bool:
    return not (element.hidden or element.unsure) and bool(element.image)


def _is_english(element: ImageElement) -> bool:
    """The name can be read by a model for English, as far as markup and letters tell."""
    if not element.name or element.lang.partition("-")[0].lower() not in ("", "en"):
        return False
    letters = [each for each in element.name if each.isalpha()]
    return bool(letters) and sum(each.isascii() for each in letters) >= 0.8 * len(letters)


def _is_told(element: ImageElement) -> bool:
    """Text in the same link or button says what the image would."""
    return element.control is not None and not element.control.image_only


def _is_small(content: bytes | None) -> bool:
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(content or b"")) as image:
            return min(image.size) < SMALLEST
    except Exception:  # whatever a decoder makes of it, it is not shown either
        return True
