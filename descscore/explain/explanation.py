"""Explanations: what each token and word adds to the score."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    import os

    from jaxtyping import Float
    from rich.console import Console, ConsoleOptions, RenderResult

Target = Literal["score", "purpose"]
TARGETS: tuple[str, ...] = get_args(Target)

Part = Literal["total", "through", "around"]
PARTS: tuple[str, ...] = get_args(Part)

Baseline = Literal["padding", "zero"]
BASELINES: tuple[str, ...] = get_args(Baseline)


@dataclass(frozen=True, kw_only=True)
class Span:
    """A token or word as spelled in the input: `text[start:end]`.

    Attributes:
        text: its spelling; empty for a token that only continues another token's character.
        start: position of its first character.
        end: position after its last character.
    """

    text: str
    start: int
    end: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"text": self.text, "start": self.start, "end": self.end}


@dataclass(frozen=True, kw_only=True, eq=False)
class Attributions:
    """What each span adds to the explained value, in that value's unit.

    Attributes:
        total: integrated gradients; their sum over spans is value minus baseline value.
        through: the part whose gradient flows through the purpose subspace; None without one.
        around: the rest: through + around = total; None without a subspace.
    """

    total: Float[np.ndarray, " span"]
    through: Float[np.ndarray, " span"] | None
    around: Float[np.ndarray, " span"] | None

    def to_dict(self) -> dict[str, list[float] | None]:
        """Plain values, for JSON."""
        return {
            name: None if values is None else [float(value) for value in values]
            for name in PARTS
            for values in [getattr(self, name)]
        }


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Explanation:
    """Which words give a text its score, or make it read as a description or a caption.

    Attributes:
        target: what is explained: "score", exp(logit_scale) cos, or "purpose", the probe's
            log-odds of the text being a description.
        text: the encoded text, including the metric's prefix.
        image: the image upright, at most 512 pixels on its longer side, as PNG or JPEG; None if
            none was given.
        tokens: the text's tokens, without start and end.
        of_tokens: the tokens' attributions, float32.
        words: the text's words; see `descscore.explain.words.words`.
        of_words: the words' attributions, sums over their tokens.
        value: value of the target for the text.
        baseline_value: value of the target for the baseline.
        completeness_error: sum of `total` minus (value - baseline_value); zero for exact integrals.
        score: the pair's score on the metric's scale; None without an image.
        purpose: P(description) in [0, 1]; None without a purpose subspace.
        baseline: what every token is compared with: the "padding" token's embedding, or "zero".
        n_steps: number of integration steps.
        method: quadrature rule.
        signature: one line that names everything the values depend on.
        error: with `on_error="record"`, why the pair could not be explained; spans are then empty
            and numbers NaN.
        image_name: the image's name in the pair's table; None without a table.
    """

    target: Target
    text: str
    image: bytes | None
    tokens: tuple[Span, ...]
    of_tokens: Attributions
    words: tuple[Span, ...]
    of_words: Attributions
    value: float
    baseline_value: float
    completeness_error: float
    score: float | None
    purpose: float | None
    baseline: Baseline
    n_steps: int
    method: str
    signature: str
    error: str | None = None
    image_name: str | None = None

    @property
    def relative_error(self) -> float:
        """|completeness error| as a share of |value - baseline value|; NaN if that is zero."""
        difference = abs(self.value - self.baseline_value)
        return abs(self.completeness_error) / difference if difference else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: NaN becomes None, the image base64."""
        return {
            "target": self.target,
            "text": self.text,
            "image_name": self.image_name,
            "image": None if self.image is None else b64encode(self.image).decode("ascii"),
            "tokens": [span.to_dict() for span in self.tokens],
            "of_tokens": self.of_tokens.to_dict(),
            "words": [span.to_dict() for span in self.words],
            "of_words": self.of_words.to_dict(),
            "value": _number(self.value),
            "baseline_value": _number(self.baseline_value),
            "completeness_error": _number(self.completeness_error),
            "relative_error": _number(self.relative_error),
            "score": _number(self.score),
            "purpose": _number(self.purpose),
            "baseline": self.baseline,
            "n_steps": self.n_steps,
            "method": self.method,
            "signature": self.signature,
            "error": self.error,
        }

    def to_html(self) -> str:
        """A self-contained page without scripts, with the image inside."""
        from descscore.explain.render.html import to_html

        return to_html([self])

    def to_png(self, path: str | os.PathLike[str]) -> None:
        """Draw a picture into a file.

        Raises:
            OptionError: the explanation failed, so there is nothing to draw.
            MissingExtraError: Matplotlib, which brings the font, is not installed.
        """
        from descscore.explain.render.png import to_png

        to_png(self, path)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from descscore.explain.render.html import to_fragment

        return to_fragment(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich prints in a terminal."""
        del console
        from descscore.explain.render.terminal import terminal

        return terminal(self, options.max_width)

    def __repr__(self) -> str:
        return (
            f"Explanation(target={self.target!r}, text={self.text!r}, words={len(self.words)}, "
            f"value={self.value:.4g}, baseline_value={self.baseline_value:.4g}, "
            f"error={self.error!r})"
        )


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
