"""Explanations: how they are made, and what each token and word adds to the score."""

from __future__ import annotations

import math
from base64 import b64encode
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from descscore.option_checks import check_choice, check_count
from descscore.signature import to_signature

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
class ExplainOptions:
    """The options of `DescriptionScore.explain`, which says what they mean.

    Raises:
        OptionError: one is outside its allowed values.
    """

    target: Target = "score"
    n_steps: int = 50
    baseline: Baseline = "padding"

    def __post_init__(self) -> None:
        check_choice("target", self.target, TARGETS)
        check_choice("baseline", self.baseline, BASELINES)
        check_count("n_steps", self.n_steps)

    @property
    def signature(self) -> str:
        """What attributions depend on beside the metric."""
        steps = str(self.n_steps)
        return to_signature({"explained": self.target, "n_steps": steps, "baseline": self.baseline})


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Attributions:
    """What each span adds to the explained value, in that value's unit.

    Attributes:
        total: integrated gradients; their sum over spans is value minus baseline value.
        through: the part whose gradient flows through the purpose subspace; None without one.
        around: the rest: through + around = total; None without a subspace.
    """

    total: Float[np.ndarray, " span"] = field(default_factory=lambda: np.zeros(0, np.float32))
    through: Float[np.ndarray, " span"] | None = None
    around: Float[np.ndarray, " span"] | None = None


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
        score: the pair's score on the metric's scale; None without an image or with an error.
        purpose: P(description) in [0, 1]; None without a purpose subspace or with an error.
        baseline: what every token is compared with: the "padding" token's embedding, or "zero".
        n_steps: number of integration steps.
        signature: one line that names everything the values depend on.
        error: with `on_error="record"`, why the pair could not be explained; spans are then empty
            and values NaN.
        image_name: the image's name in the pair's table; None without a table.
    """

    target: Target
    text: str
    image: bytes | None = None
    tokens: tuple[Span, ...] = ()
    of_tokens: Attributions = field(default_factory=Attributions)
    words: tuple[Span, ...] = ()
    of_words: Attributions = field(default_factory=Attributions)
    value: float = math.nan
    baseline_value: float = math.nan
    completeness_error: float = math.nan
    score: float | None = None
    purpose: float | None = None
    baseline: Baseline
    n_steps: int
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
        values = asdict(self, dict_factory=lambda named: {k: _plain(v) for k, v in named})
        return {**values, "relative_error": _plain(self.relative_error)}

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
        del console, options
        from descscore.explain.render.terminal import terminal

        return terminal(self)

    def __repr__(self) -> str:
        return (
            f"Explanation(target={self.target!r}, text={self.text!r}, words={len(self.words)}, "
            f"value={self.value:.4g}, baseline_value={self.baseline_value:.4g}, "
            f"error={self.error!r})"
        )


def _plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, np.ndarray):
        return value.tolist()
    return None if isinstance(value, float) and math.isnan(value) else value
