"""Pairs of images and texts -> their explanations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.errors import CheckpointError, InputError, OptionError
from descscore.explain.explanation import Attributions, Explanation
from descscore.explain.integrated_gradients import Integral, IntegratedGradients
from descscore.explain.prepare import prepare
from descscore.explain.quadrature import quadrature
from descscore.explain.words import token_spans, words
from descscore.towers.clip_embeddings import EmbeddingTower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from descscore.explain.explanation import Baseline, Span
    from descscore.explain.options import ExplainOptions
    from descscore.explain.prepare import Prepared
    from descscore.inputs.pairs import ImageInput
    from descscore.scorer import Scorer

_OVERFLOWN = "text {} has no finite attributions: the checkpoint's text tower overflows"


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """Explains what a metric says of pairs.

    Attributes:
        name: of the checkpoint, for messages.
        scorer: of the metric.
        signature: of the metric.
    """

    name: str
    scorer: Scorer
    signature: str

    def __post_init__(self) -> None:
        if not self.scorer.transform.tokenizer.is_fast:
            raise CheckpointError(
                f"the tokeniser of {self.name!r} does not say which characters its tokens stand "
                "for; give the checkpoint a tokenizer.json"
            )

    @cached_property
    def tower(self) -> EmbeddingTower:
        """The text tower in float32."""
        [nothing] = self.scorer.transform([""])
        return self.scorer.embedder.encoder.towers.from_embeddings(nothing.ids[0])

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput] | None,
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        options: ExplainOptions,
    ) -> list[Explanation]:
        """Explain pairs, in the order of the input; what it raises is in the metric's docstring."""
        mediated = self._mediated(options)
        if images is None and options.target == "score":
            raise OptionError(
                "image is None, and a score needs one; give an image, or explain target='purpose'"
            )
        pairs = prepare(self.scorer, images, texts)
        integrals = self._integrate(pairs, options, mediated=mediated)
        errors = [
            _OVERFLOWN.format(place)
            if integral is not None and not integral.total.isfinite().all()
            else error
            for place, (integral, error) in enumerate(zip(integrals, pairs.errors, strict=True))
        ]
        if self.scorer.raise_errors and any(errors):
            raise InputError(next(filter(None, errors)))
        return self._explanations(pairs, integrals, errors, options, mediated=mediated)

    def _mediated(self, options: ExplainOptions) -> bool:
        """Whether to split attributions by the subspace."""
        if self.scorer.purpose is not None:
            return options.mediated is not False
        if options.target == "purpose" or options.mediated:
            what = "target is 'purpose'" if options.target == "purpose" else "mediated is True"
            raise OptionError(
                f"{what}, but {self.name!r} has no purpose subspace; explain the score's total "
                "alone, or name a checkpoint with a subspace, such as 'mini'"
            )
        return False

    def _integrate(
        self, pairs: Prepared, options: ExplainOptions, *, mediated: bool
    ) -> list[Integral | None]:
        """For each pair its integral; None for one that failed."""
        of_purpose = options.target == "purpose"
        places = [place for place, tokens in enumerate(pairs.tokens) if tokens is not None]
        points, weights = quadrature(options.method, options.n_steps)
        integrate = IntegratedGradients(
            self.tower,
            self.scorer.purpose if mediated or of_purpose else None,
            padding=self._padding(options.baseline),
            points=points,
            weights=weights,
            rows=options.internal_batch_size,
            progress=self.scorer.embedder.progress,
        )
        found: list[Integral | None] = [None] * len(pairs.tokens)
        if places:
            integrals = integrate(
                [tokens for tokens in pairs.tokens if tokens is not None],
                None if of_purpose or pairs.embeddings is None else pairs.embeddings[places],
            )
            for place, integral in zip(places, integrals, strict=True):
                found[place] = (
                    integral if mediated else replace(integral, through=None, around=None)
                )
        return found

    def _padding(self, baseline: Baseline) -> int | None:
        """Id of the token whose embedding the baseline has; None for zeros."""
        if baseline == "zero":
            return None
        padding = self.scorer.transform.tokenizer.pad_token_id
        if not isinstance(padding, int):
            raise OptionError(
                f"baseline is 'padding', but the tokeniser of {self.name!r} has no padding token; "
                "choose baseline='zero'"
            )
        return padding

    def _explanations(
        self,
        pairs: Prepared,
        integrals: Sequence[Integral | None],
        errors: Sequence[str | None],
        options: ExplainOptions,
        *,
        mediated: bool,
    ) -> list[Explanation]:
        good = [place for place, error in enumerate(errors) if error is None]
        spelled = self._spans([pairs.texts[place] for place in good])
        of_pair = dict(zip(good, spelled, strict=True))
        explanations = []
        for place, (integral, error) in enumerate(zip(integrals, errors, strict=True)):
            tokens, found, word_of = of_pair.get(place, ((), (), []))
            if integral is None or error is not None:
                integral = _nothing(mediated=mediated)
            change = integral.value - integral.baseline_value
            explanations.append(
                Explanation(
                    target=options.target,
                    text=pairs.texts[place],
                    image=pairs.images[place],
                    tokens=tokens,
                    of_tokens=_attributions(integral, range(len(tokens)), len(tokens)),
                    words=found,
                    of_words=_attributions(integral, word_of, len(found)),
                    value=integral.value,
                    baseline_value=integral.baseline_value,
                    completeness_error=float(integral.total.double().sum()) - change,
                    score=_of_pair(pairs.scores, place, error),
                    purpose=_of_pair(pairs.purposes, place, error),
                    baseline=options.baseline,
                    n_steps=options.n_steps,
                    method=options.method,
                    signature=f"{self.signature}|{options.signature}",
                    error=error,
                )
            )
        return explanations

    def _spans(
        self, texts: Sequence[str]
    ) -> list[tuple[tuple[Span, ...], tuple[Span, ...], list[int]]]:
        """For each text its tokens, its words, and each token's word."""
        if not texts:
            return []
        offsets = self.scorer.transform.tokenizer(list(texts), return_offsets_mapping=True)
        spelled = []
        for text, of_text in zip(texts, offsets["offset_mapping"], strict=True):
            tokens = token_spans(text, of_text[1:-1])
            spelled.append((tokens, *words(text, tokens)))
        return spelled


def _attributions(integral: Integral, group: Sequence[int], groups: int) -> Attributions:
    """Sums of tokens' attributions by group."""

    def summed(values: Tensor | None) -> Float[np.ndarray, " span"] | None:
        if values is None:
            return None
        sums = np.zeros(groups)
        np.add.at(sums, np.asarray(group, dtype=np.int64), values.double().numpy())
        return sums.astype(np.float32)

    total = summed(integral.total)
    return Attributions(
        total=np.zeros(0, np.float32) if total is None else total,
        through=summed(integral.through),
        around=summed(integral.around),
    )


def _nothing(*, mediated: bool) -> Integral:
    """What there is of a pair that failed."""
    empty, nan = torch.zeros(0), float("nan")
    part = empty if mediated else None
    return Integral(total=empty, through=part, around=part, value=nan, baseline_value=nan)


def _of_pair(
    values: Float[np.ndarray, " pair"] | None, place: int, error: str | None
) -> float | None:
    if values is None:
        return None
    return float(values[place]) if error is None else float("nan")
