"""`Encoded` -> the explanations of its pairs."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from descscore.errors import CheckpointError, ImageError, InputError, OptionError, TextError
from descscore.explain.explanation import PARTS, Attributions, Explanation
from descscore.explain.integrated_gradients import Integral, IntegratedGradients
from descscore.explain.words import token_spans, words
from descscore.inputs.decode import decode
from descscore.results import Problem
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from descscore.explain.explanation import Baseline, ExplainOptions, Span
    from descscore.inputs.items import ImageInput
    from descscore.pipeline import Encoded, Pipeline
    from descscore.purpose.probe import Purpose
    from descscore.towers.clip_embeddings import EmbeddingTower

_OVERFLOW = "has no finite attributions: the checkpoint's text tower overflows"
_LONGER_SIDE, _QUALITY = 512, 90


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """Explains the scores and purposes of pairs.

    Attributes:
        name: of the checkpoint, for messages.
        pipeline: that encodes the pairs.
        purpose: the checkpoint's subspace; None if it has none.
        signature: of the metric.
    """

    name: str
    pipeline: Pipeline
    purpose: Purpose | None
    signature: str

    def __post_init__(self) -> None:
        if not self.pipeline.encoder.towers.layers:
            raise self.pipeline.encoder.towers.no_site()
        if not self.pipeline.transform.tokenizer.is_fast:
            raise CheckpointError(
                f"the tokenizer of {self.name!r} does not say which characters its tokens stand "
                "for; give the checkpoint a tokenizer.json"
            )

    @cached_property
    def tower(self) -> EmbeddingTower:
        """The text tower in float32."""
        [nothing] = self.pipeline.transform([""])
        return self.pipeline.encoder.towers.from_embeddings(nothing.ids[0])

    def __call__(
        self,
        encoded: Encoded,
        options: ExplainOptions,
        *,
        scores: Float[np.ndarray, " pair"] | None,
        purposes: Float[np.ndarray, " pair"] | None,
    ) -> list[Explanation]:
        """Explain pairs, in the order of the input; what it raises is in the metric's docstring.

        Args:
            encoded: the pairs, each text as a whole.
            options: what to explain and how.
            scores: on the metric's scale; None without images.
            purposes: P(description); None without a purpose subspace.
        """
        errors = self._errors(encoded)
        integrals = self._integrate(encoded, errors, options)
        for place, integral in integrals.items():
            if not integral.total.isfinite().all():
                errors[place] = Problem("text", place, _OVERFLOW)
                if self.pipeline.raise_errors:
                    raise InputError(_OVERFLOW).at("text", place)
        return self._explanations(encoded, integrals, errors, options, scores, purposes)

    def _errors(self, encoded: Encoded) -> list[Problem | None]:
        """Why pairs cannot be explained: as in `encoded`, or since their text is cut or empty."""
        pairs, units = encoded.pairs, encoded.units
        errors: dict[int, TextError] = {}
        for row, text in enumerate(pairs.texts):
            if row in encoded.text_errors:
                continue
            if units.truncated[row]:
                errors[row] = TextError(
                    f"({quoted(text, 60)}) has {units.counts[row]} tokens and the window is "
                    f"{self.pipeline.transform.window}; words beyond it have no part in the score: "
                    "shorten the text to explain it"
                )
            elif units.counts[row] <= 2:
                errors[row] = TextError(
                    f"({quoted(text, 60)}) has no token that could be explained; give a text with "
                    "words"
                )
        self.pipeline.raise_first(errors, pairs.text_places)
        return replace(encoded, text_errors={**encoded.text_errors, **errors}).errors

    def _integrate(
        self,
        encoded: Encoded,
        errors: Sequence[Problem | None],
        options: ExplainOptions,
    ) -> dict[int, Integral]:
        """The integral of each pair that has not failed."""
        places = [place for place, error in enumerate(errors) if error is None]
        if not places:
            return {}
        integrate = IntegratedGradients(
            tower=self.tower,
            purpose=self.purpose,
            padding=self._padding(options.baseline),
            n_steps=options.n_steps,
            progress=self.pipeline.progress,
        )
        pairs, units = encoded.pairs, encoded.units
        integrals = integrate(
            [units.tokens[units.of_text[row][0]] for row in pairs.text_of[places]],
            None
            if options.target == "purpose"
            else encoded.images[torch.as_tensor(pairs.image_of[places])],
        )
        return dict(zip(places, integrals, strict=True))

    def _padding(self, baseline: Baseline) -> int | None:
        """Id of the token whose embedding the baseline has; None for zeros."""
        if baseline == "zero":
            return None
        padding = self.pipeline.transform.tokenizer.pad_token_id
        if not isinstance(padding, int):
            raise OptionError(
                f"baseline is 'padding', but the tokenizer of {self.name!r} has no padding token; "
                "choose baseline='zero'"
            )
        return padding

    def _explanations(
        self,
        encoded: Encoded,
        integrals: dict[int, Integral],
        errors: Sequence[Problem | None],
        options: ExplainOptions,
        scores: Float[np.ndarray, " pair"] | None,
        purposes: Float[np.ndarray, " pair"] | None,
    ) -> list[Explanation]:
        pairs = encoded.pairs
        texts = [f"{self.pipeline.prefix}{text}" if text else "" for text in pairs.texts]
        thumbnails = [thumbnail(image) for image in pairs.images]
        good = [place for place, error in enumerate(errors) if error is None]
        spelled = self._spans([texts[row] for row in pairs.text_of[good]])
        of_pair = dict(zip(good, spelled, strict=True))
        explanations = []
        for place, error in enumerate(errors):
            made = Explanation(
                **asdict(options),
                text=texts[pairs.text_of[place]],
                image=thumbnails[pairs.image_of[place]] if thumbnails else None,
                signature=f"{self.signature}|{options.signature}",
                error=error,
            )
            if error is None:
                tokens, found, word_of = of_pair[place]
                integral = integrals[place]
                change = integral.value - integral.baseline_value
                made = replace(
                    made,
                    tokens=tokens,
                    of_tokens=_attributions(integral, range(len(tokens)), len(tokens)),
                    words=found,
                    of_words=_attributions(integral, word_of, len(found)),
                    value=integral.value,
                    baseline_value=integral.baseline_value,
                    completeness_error=float(integral.total.double().sum()) - change,
                    score=None if scores is None else float(scores[place]),
                    purpose=None if purposes is None else float(purposes[place]),
                )
            explanations.append(made)
        return explanations

    def _spans(
        self, texts: Sequence[str]
    ) -> list[tuple[tuple[Span, ...], tuple[Span, ...], list[int]]]:
        """For each text its tokens, its words, and each token's word."""
        if not texts:
            return []
        offsets = self.pipeline.transform.tokenizer(list(texts), return_offsets_mapping=True)
        spelled = []
        for text, of_text in zip(texts, offsets["offset_mapping"], strict=True):
            tokens = token_spans(text, of_text[1:-1])
            spelled.append((tokens, *words(text, tokens)))
        return spelled


def _attributions(integral: Integral, group: Sequence[int], groups: int) -> Attributions:
    """Sums of tokens' attributions by group."""
    sums: dict[str, Any] = {}
    for part in PARTS:
        values = getattr(integral, part)
        if values is not None:
            of_groups = np.zeros(groups)
            np.add.at(of_groups, np.asarray(group, dtype=np.int64), values.double().numpy())
            sums[part] = of_groups.astype(np.float32)
    return Attributions(**sums)


def thumbnail(image: ImageInput) -> bytes | None:
    """An image as JPEG, upright, at most 512 pixels on its longer side; None if unreadable."""
    try:
        small = decode(image).copy()
    except ImageError:
        return None
    small.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
