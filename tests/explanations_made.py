"""Explanations made by hand, with numbers that are known, for the tests of what shows them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from descscore.explain.explanation import Attributions, Explanation, Span
from descscore.results import Problem

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"

TEXT = "A small red cup of espresso, on a saucer."
TOTAL = (0.1, 0.25, 2.0, 1.5, -0.004, 3.0, 0.0, -0.5, 0.2, -1.25, 0.0)
THROUGH = (0.1, 0.5, 1.0, 0.5, -0.002, 1.0, 0.5, -0.25, 0.1, -2.25, 0.0)

SIGNATURE = "descscore:0.1.0|checkpoint:made|explain:integrated-gradients"


def photo(name: str = "coffee.jpg", longest: int = 512) -> bytes:
    """A sample photo as an explanation holds it."""
    with Image.open(PHOTOS / name) as image:
        image.thumbnail((longest, longest))
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG")
    return file.getvalue()


def word_spans(text: str) -> tuple[Span, ...]:
    """Words and punctuation marks."""
    return tuple(
        Span(text=found[0], start=found.start(), end=found.end())
        for found in re.finditer(r"\w+|[^\w\s]", text)
    )


def explanation(
    text: str = TEXT,
    total: Any = TOTAL,
    through: Any = THROUGH,
    *,
    image: bytes | None = None,
    **changes: Any,
) -> Explanation:
    """An explanation of a text, by default without an image; `through=None` is a plain CLIP's."""
    spans = word_spans(text)
    total = np.resize(np.asarray(total, dtype=np.float32), len(spans))
    around = None
    if through is not None:
        through = np.resize(np.asarray(through, dtype=np.float32), len(spans))
        around = total - through
    attributions = Attributions(total=total, through=through, around=around)
    made = Explanation(
        target="score",
        text=text,
        image=image,
        tokens=spans,
        of_tokens=attributions,
        words=spans,
        of_words=attributions,
        value=15.0 + float(total.sum()),
        baseline_value=15.0,
        completeness_error=0.0012,
        score=0.5123,
        purpose=None if through is None else 0.871,
        baseline="padding",
        n_steps=50,
        signature=SIGNATURE,
    )
    return replace(made, **changes)


def failed(error: str = "image ('gone.jpg') does not exist; check the path") -> Explanation:
    """One that could not be made."""
    return Explanation(
        text="A text whose image is gone.",
        error=error,
        target="score",
        baseline="padding",
        n_steps=50,
        signature=SIGNATURE,
    )


class FakeExplainer:
    """Explains by the letters of words; an image "missing…" and a text "bad" fail.

    Args:
        signature: of the metric.
        stop_after: calls after which the user interrupts.
    """

    def __init__(self, signature: str = "fake", *, stop_after: int | None = None) -> None:
        self.signature = signature
        self.calls: list[int] = []
        self.stop_after = stop_after

    def explain(self, images: Any, texts: Any, **how: Any) -> Any:
        """As `DescriptionScore.explain`."""
        if self.stop_after is not None and len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        if isinstance(texts, str):
            return self.explain(None if images is None else [images], [texts], **how)[0]
        self.calls.append(len(texts))
        images = [None] * len(texts) if images is None else images
        return [self._one(*each, how) for each in enumerate(zip(images, texts, strict=True))]

    def _one(self, place: int, pair: tuple[Any, str], how: dict[str, Any]) -> Explanation:
        image, text = pair
        made = {name: how[name] for name in ("target", "n_steps", "baseline")}
        if text == "bad":
            made["error"] = Problem("text", place, "is bad; give a good one")
        elif image is not None and Path(image).name.startswith("missing"):
            made["error"] = Problem(
                "image", place, f"({Path(image).name!r}) does not exist; check the path"
            )
        spans = word_spans(text)
        values = [len(span.text) / 8 - 0.5 for span in spans] or [0]
        return explanation(text, values, signature=self.signature, **made)
