"""Any accepted images and texts -> distinct images, distinct texts and the pairs between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from descscore.errors import PairingError, TextError
from descscore.inputs.items import brief, is_image, text_problem

if TYPE_CHECKING:
    from jaxtyping import Int

    from descscore.inputs.items import ImageInput


Place: TypeAlias = "tuple[str, int]"
"""The kind of an item and its position in the input, as in `InputError`."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What to score: each distinct image and text once, and which of them form pairs.

    Attributes:
        images: distinct images, as given; empty for texts alone.
        image_places: where each first stood in the input.
        texts: distinct texts, references among them; "" where a text cannot be scored. Empty for
            images alone.
        text_places: where each first stood in the input.
        text_errors: for rows of `texts` that cannot be scored, why.
        image_of: row in `images` of each pair; -1 for texts alone.
        text_of: row in `texts` of each pair; -1 for images alone.
        image_index: position of each pair's image in the input.
        text_index: position of each pair's text in the input, counted through nested lists.
        references_of: rows in `texts` of each pair's references; None without references.
        contexts: distinct contexts, as texts alone; None without contexts.
        context_of: row in `contexts.texts` of each pair; None without contexts.
        shape: shape of the results: (pair,), or (image, text) when scored pairwise.
        counts: images and texts in the input, repeated ones and images without texts included,
            references not.
    """

    images: list[ImageInput] = field(default_factory=list)
    image_places: list[Place] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    text_places: list[Place] = field(default_factory=list)
    text_errors: dict[int, TextError] = field(default_factory=dict)
    image_of: Int[np.ndarray, " pair"]
    text_of: Int[np.ndarray, " pair"]
    image_index: Int[np.ndarray, " pair"]
    text_index: Int[np.ndarray, " pair"]
    references_of: list[list[int]] | None = None
    contexts: Pairs | None = None
    context_of: Int[np.ndarray, " pair"] | None = None
    shape: tuple[int, ...]
    counts: tuple[int, int] = (0, 0)

    def texts_only(self, rows: Int[np.ndarray, " row"]) -> Pairs:
        """Some of the distinct texts, without images, references and contexts."""
        return _texts_alone(
            [self.texts[row] for row in rows],
            [self.text_places[row] for row in rows],
            {i: self.text_errors[row] for i, row in enumerate(rows) if row in self.text_errors},
            np.arange(len(rows)),
        )


def pair_up(
    images: ImageInput | Sequence[ImageInput],
    texts: str | Sequence[str] | Sequence[Sequence[str]],
    references: Sequence[str] | Sequence[str | Sequence[str]] | None = None,
    contexts: str | Sequence[str] | None = None,
    *,
    pairwise: bool = False,
    before: tuple[int, int] = (0, 0),
) -> Pairs:
    """Find the pairs and the distinct images and texts among the inputs.

    Images of the same path, or that are the same object, are one; images that turn out to have the
    same pixels are found later, by the encoder's caller.

    Args:
        images: one image or a list; an array or tensor of four dimensions is a list.
        texts: a text; a list with a text per image; for one image, a list of its texts; or a list
            with a list of texts per image. With `pairwise`, a list of texts to score against every
            image.
        references: for each image, one or several reference texts; for one image, a list of them.
        contexts: for each image the text that it appears in, or one for all images.
        pairwise: score every image with every text.
        before: images and texts that came in earlier batches; positions are counted on from there.

    Raises:
        PairingError: nothing to score, or numbers or nesting that do not fit.
    """
    images_before, texts_before = before
    one_image = is_image(images)
    image_list: list[Any] = [images] if one_image else _as_list(images, "images")
    first, text_list, shape = _pair_indices(image_list, one_image, texts, pairwise=pairwise)
    found_images, found_texts = _Distinct(), _Distinct()
    image_rows = found_images.images(image_list, images_before)
    text_rows = found_texts.texts(text_list, "text", texts_before)
    all_texts = np.arange(len(text_list))
    # A single text goes with every image.
    each = pairwise or isinstance(texts, str)
    second = np.tile(all_texts, len(image_list)) if each else all_texts
    references_of = None
    if references is not None:
        listed = _references(references, len(image_list), one_image)
        rows = [
            [found_texts.text(text, (f"reference {j} of image", i)) for j, text in enumerate(some)]
            for i, some in enumerate(listed, images_before)
        ]
        references_of = [rows[i] for i in first]
    alone = context_of = None
    if contexts is not None:
        alone = texts_alone(_contexts(contexts, len(image_list)), "context", before=images_before)
        context_of = alone.text_of[first]
    return Pairs(
        images=found_images.values,
        image_places=found_images.places,
        texts=found_texts.values,
        text_places=found_texts.places,
        text_errors=found_texts.errors,
        image_of=image_rows[first],
        text_of=text_rows[second],
        image_index=first + images_before,
        text_index=second + texts_before,
        references_of=references_of,
        contexts=alone,
        context_of=context_of,
        shape=shape,
        counts=(len(image_list), len(text_list)),
    )


def texts_alone(texts: str | Sequence[str], kind: str = "text", *, before: int = 0) -> Pairs:
    """A text or a list of texts, without images.

    Args:
        texts: a text or a list of them.
        kind: what errors call one of them.
        before: position of the first.

    Raises:
        PairingError: no list of texts, or an empty one.
    """
    listed = [texts] if isinstance(texts, str) else _as_list(texts, f"{kind}s")
    found = _Distinct()
    rows = found.texts(listed, kind, before)
    return _texts_alone(found.values, found.places, found.errors, rows)


def _texts_alone(
    texts: list[str],
    places: list[Place],
    errors: dict[int, TextError],
    rows: Int[np.ndarray, " text"],
) -> Pairs:
    return Pairs(
        texts=texts,
        text_places=places,
        text_errors=errors,
        image_of=np.full(len(rows), -1),
        text_of=rows,
        image_index=np.full(len(rows), -1),
        text_index=np.arange(len(rows)),
        shape=(len(rows),),
    )


def images_alone(images: ImageInput | Sequence[ImageInput]) -> Pairs:
    """An image or a list of images, without texts.

    Raises:
        PairingError: no list of images, or an empty one.
    """
    listed = [images] if is_image(images) else _as_list(images, "images")
    found = _Distinct()
    rows = found.images(listed)
    return Pairs(
        images=found.values,
        image_places=found.places,
        image_of=rows,
        text_of=np.full(len(rows), -1),
        image_index=np.arange(len(rows)),
        text_index=np.full(len(rows), -1),
        shape=(len(rows),),
    )


class _Distinct:
    """Images or texts in the order in which they come, where each first stood, what is wrong."""

    def __init__(self) -> None:
        self.rows: dict[object, int] = {}
        self.values: list[Any] = []
        self.places: list[Place] = []
        self.errors: dict[int, TextError] = {}

    def images(self, images: Sequence[Any], before: int = 0) -> Int[np.ndarray, " image"]:
        return np.array(
            [
                self._row(_image_key(image), image, ("image", place))
                for place, image in enumerate(images, before)
            ]
        )

    def texts(self, texts: Sequence[Any], kind: str, before: int) -> Int[np.ndarray, " text"]:
        return np.array([self.text(text, (kind, i)) for i, text in enumerate(texts, before)])

    def text(self, text: object, place: Place) -> int:
        # Lists of pairs repeat the same few texts; a look is quicker than a check.
        if isinstance(text, str) and text in self.rows:
            return self.rows[text]
        if (problem := text_problem(text)) is None:
            return self._row(text, text, place)
        row = self._row(place, "", place)
        self.errors[row] = TextError(problem)
        return row

    def _row(self, key: object, value: object, place: Place) -> int:
        if key not in self.rows:
            self.rows[key] = len(self.values)
            self.values.append(value)
            self.places.append(place)
        return self.rows[key]


def _image_key(image: object) -> object:
    if isinstance(image, str | os.PathLike):
        return os.fspath(image)
    if isinstance(image, bytes):
        return image
    # Positions of objects are unique as long as the caller's list keeps them alive, and it does.
    return id(image), type(image)


def _as_list(values: object, name: str) -> list[Any]:
    if isinstance(values, Mapping | set | frozenset):
        raise PairingError(f"{name} is a {type(values).__name__}, which has no order; give a list")
    if isinstance(values, bytes | bytearray | memoryview) or hasattr(values, "read"):
        raise PairingError(f"{name} is a {type(values).__name__}; give a string or a list of them")
    try:
        listed = list(values)  # pyright: ignore[reportArgumentType]
    except TypeError:
        raise PairingError(f"{name} is {brief(values)}; give one of them or a list") from None
    if not listed:
        raise PairingError(f"{name} is empty; there is nothing to score")
    return listed


def _pair_indices(
    images: list[Any], one_image: bool, texts: object, *, pairwise: bool
) -> tuple[Int[np.ndarray, " pair"], list[Any], tuple[int, ...]]:
    """For each pair the position of its image; all texts in order; the shape of the results."""
    if isinstance(texts, str):
        if not pairwise:
            return np.arange(len(images)), [texts], (len(images),)
        text_list: list[Any] = [texts]
    else:
        text_list = _as_list(texts, "texts")
    nested = [_is_nested(text) for text in text_list]
    if pairwise:
        if any(nested):
            raise PairingError("pairwise scoring takes a flat list of texts, not a list per image")
        first = np.repeat(np.arange(len(images)), len(text_list))
        return first, text_list, (len(images), len(text_list))
    if one_image and not any(nested):
        return np.zeros(len(text_list), dtype=int), text_list, (len(text_list),)
    if len(text_list) != len(images):
        raise PairingError(
            f"{len(images)} images and {len(text_list)} texts; give as many of each, one image "
            "(not in a list) with many texts, a list of texts per image, or pairwise=True for all "
            "combinations"
        )
    if not any(nested):
        return np.arange(len(images)), text_list, (len(images),)
    if not all(nested):
        odd = nested.index(not nested[0])
        raise PairingError(
            f"texts mixes strings and lists: item 0 is {brief(text_list[0])}, item {odd} is "
            f"{brief(text_list[odd])}; give a string per image, or a list per image"
        )
    first = np.repeat(np.arange(len(images)), [len(of_image) for of_image in text_list])
    if not len(first):
        raise PairingError("every image has an empty list of texts; there is nothing to score")
    return first, [text for of_image in text_list for text in of_image], (len(first),)


def _is_nested(text: object) -> bool:
    return isinstance(text, list | tuple) or (isinstance(text, np.ndarray) and text.ndim == 1)


def _references(references: object, images: int, one_image: bool) -> list[list[Any]]:
    if isinstance(references, str):
        raise PairingError(
            "references is one string; give a list with the references of each image"
        )
    listed = _as_list(references, "references")
    if one_image and not any(map(_is_nested, listed)):
        listed = [listed]
    if len(listed) != images:
        raise PairingError(
            f"{images} images and references for {len(listed)}; give one or several references per "
            "image"
        )
    per_image = [list(item) if _is_nested(item) else [item] for item in listed]
    for i, of_image in enumerate(per_image):
        if not of_image:
            raise PairingError(f"image {i} has an empty list of references; give it at least one")
    return per_image


def _contexts(contexts: object, images: int) -> list[Any]:
    if isinstance(contexts, str):
        return [contexts] * images
    listed = _as_list(contexts, "contexts")
    if len(listed) != images:
        raise PairingError(
            f"{images} images and {len(listed)} contexts; give one context per image, or one "
            "string for all images"
        )
    return listed
