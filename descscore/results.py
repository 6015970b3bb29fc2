"""What scoring returns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from descscore.extras import imports_of
from descscore.signature import check_same_signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


class Problem(str):
    """Why an item failed, as a sentence that begins with its position: "image 3 does not exist".

    Attributes:
        kind: kind of item, as in `InputError`.
        position: position of the item in the input.
        reason: the sentence without the position.
    """

    kind: str
    position: int
    reason: str

    def __new__(cls, kind: str, position: int, reason: str) -> Self:
        """A sentence from its parts."""
        problem = super().__new__(cls, f"{kind} {position} {reason}")
        problem.kind, problem.position, problem.reason = kind, position, reason
        return problem

    def __getnewargs__(self) -> tuple[str, int, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.kind, self.position, self.reason

    @property
    def unplaced(self) -> str:
        """The sentence without the position, which says nothing about the row of a table."""
        return f"{self.kind.removesuffix(' of image')} {self.reason}"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Scores:
    """The scores of one call, one entry per pair.

    Arrays have the shape [pair] or, with `pairwise=True`, [image, text].

    Attributes:
        scores: float32, on the metric's scale; with references, RefCLIPScores; NaN where the pair
            failed.
        truncated: whether the text was longer than the window of the model, or of the reader
            passed as `purpose`.
        n_tokens: number of the text's tokens before truncation, including start and end; 0 where
            it failed.
        image_index: the position of the pair's image in the input.
        text_index: the position of the pair's text in the input, counted through nested lists.
        errors: for each pair in order (row by row with `pairwise=True`), why it failed, or None.
        image_scores: with references or a purpose weight, the plain score of image and text; else
            None.
        reference_scores: with references, the cosine to the nearest reference, clamped at 0; else
            None.
        context_scores: with context, the contextual CLIPScore (Kreiss et al. 2022a), on the scale
            of unnormalised embeddings; else None.
        purpose: P(description) of the text in [0, 1], from the probe on the purpose subspace (Zur
            et al. 2024 train the subspace; the probe is ours); None without a subspace.
        subspace: the text's coordinates in the subspace, with a further axis [dimension]; None
            unless requested.
        purpose_effect: the score, without references and purpose weight, minus what it would be if
            the text's coordinates were the mean caption's: how much of it is due to the text
            reading as a description; None unless requested.
        signature: one line that names everything a score depends on.
    """

    scores: Float[np.ndarray, "..."]
    truncated: Bool[np.ndarray, "..."]
    n_tokens: Int[np.ndarray, "..."]
    image_index: Int[np.ndarray, "..."]
    text_index: Int[np.ndarray, "..."]
    errors: tuple[Problem | None, ...]
    image_scores: Float[np.ndarray, "..."] | None = None
    reference_scores: Float[np.ndarray, "..."] | None = None
    context_scores: Float[np.ndarray, "..."] | None = None
    purpose: Float[np.ndarray, "..."] | None = None
    subspace: Float[np.ndarray, "..."] | None = None
    purpose_effect: Float[np.ndarray, "..."] | None = None
    signature: str

    def __len__(self) -> int:
        return self.scores.size

    @property
    def failed(self) -> int:
        """Number of pairs without a score."""
        return sum(error is not None for error in self.errors)

    @property
    def mean(self) -> float:
        """Mean over the pairs that have a score; NaN if none has."""
        scored = self.scores[~np.isnan(self.scores)]
        return float(scored.mean(dtype=np.float64)) if scored.size else float("nan")

    def to_records(self) -> list[dict[str, Any]]:
        """One dictionary of plain Python values per pair; the score of a failed pair is None.

        `subspace`, which has many values per pair, is omitted.
        """
        columns = self._columns()
        rows = zip(*(column.tolist() for column in columns.values()), self.errors, strict=True)
        names = [*columns, "error"]
        return [
            {
                name: None if value != value else value
                for name, value in zip(names, row, strict=True)
            }
            for row in rows
        ]

    def to_pandas(self) -> pd.DataFrame:
        """One row per pair.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        with imports_of("pandas"):
            import pandas as pd

        return pd.DataFrame({**self._columns(), "error": list(self.errors)})

    def _columns(self) -> dict[str, np.ndarray]:
        optional = {
            "image_score": self.image_scores,
            "reference_score": self.reference_scores,
            "context_score": self.context_scores,
            "purpose": self.purpose,
            "purpose_effect": self.purpose_effect,
        }
        columns = {
            "image_index": self.image_index,
            "text_index": self.text_index,
            "score": self.scores,
            **{name: values for name, values in optional.items() if values is not None},
            "truncated": self.truncated,
            "n_tokens": self.n_tokens,
        }
        return {name: values.ravel() for name, values in columns.items()}

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.scores.shape))
        shown = np.array2string(self.scores, precision=4, threshold=8, edgeitems=3)
        parts = [
            f"{shape} {'pair' if self.scores.shape == (1,) else 'pairs'}",
            f"mean {self.mean:.4f}",
        ]
        if self.truncated.any():
            parts.append(f"{int(self.truncated.sum())} truncated")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return f"Scores({', '.join(parts)})\n{shown}\n{self.signature}"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its 95% interval, or why one of them is missing.

    Attributes:
        value: None if undefined.
        low: lower end of the interval; None if there is none.
        high: upper end of the interval.
        n: number of items that it is measured on: images, ratings, seeds.
        ties: for a share, number of cases that count for neither side; else None.
        undefined: why there is no value or no interval; None if there are both.
        degenerate: number of resamples in which the value is undefined; the interval ignores them.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int
    ties: int | None = None
    undefined: str | None = None
    degenerate: int = 0

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval; None if there is none."""
        if self.low is None or self.high is None:
            return None
        return round((self.high - self.low) / 2, 10)


@dataclass(frozen=True, kw_only=True, eq=False)
class Embeddings:
    """Unit embeddings of images or of texts, on which scores are cosines.

    Attributes:
        values: float32, one row per item; NaN for one that failed.
        errors: for each item, why it has no embedding, or None.
    """

    values: Float[np.ndarray, "item width"]
    errors: tuple[Problem | None, ...]

    @classmethod
    def of(cls, values: Float[Tensor, "item width"], errors: Sequence[Problem | None]) -> Self:
        """Embeddings from a tensor, with NaN where an item failed."""
        array = values.cpu().numpy()
        array[[error is not None for error in errors]] = np.nan
        return cls(values=array, errors=tuple(errors))


def concatenate(parts: Sequence[Scores]) -> Scores:
    """Join the results of several batches, all of shape [pair].

    Raises:
        OptionError: their signatures differ.
    """
    check_same_signature([part.signature for part in parts])
    joined: dict[str, Any] = {}
    for field in fields(Scores):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "errors":
            joined["errors"] = tuple(error for errors in values for error in errors)
        elif field.name != "signature":
            joined[field.name] = None if values[0] is None else np.concatenate(values)
    return replace(parts[0], **joined)
