"""The method `explain` of the metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, overload

from descscore.errors import OptionError
from descscore.explain.explainer import Explainer
from descscore.explain.explanation import ExplainOptions
from descscore.inputs.items import is_image
from descscore.inputs.pairs import pair_up, texts_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from descscore.checkpoints.store import Checkpoint
    from descscore.explain.explanation import Baseline, Explanation, Target
    from descscore.inputs.items import ImageInput
    from descscore.inputs.pairs import Pairs
    from descscore.inputs.texts import LongText
    from descscore.pipeline import Encoded, Pipeline
    from descscore.purpose.probe import Purpose
    from descscore.purpose.reader import Reader
    from descscore.results import Scores


class Explainable(ABC):
    """What encodes pairs, reads purposes, and explains the scores that a metric computes.

    Attributes:
        checkpoint: that scores.
        purpose_subspace: of the checkpoint.
        signature: one line that names everything a score depends on.
    """

    checkpoint: Checkpoint
    purpose_subspace: Purpose | None
    signature: str
    _pipeline: Pipeline
    _reader: Reader | None

    @abstractmethod
    def _scores(self, encoded: Encoded) -> Scores:
        """Score pairs."""

    def _lacks_subspace(self, instead: str, but: str = "") -> OptionError:
        return OptionError(
            f"{but}{self.checkpoint.name!r} has no purpose subspace; {instead}, or name a "
            "checkpoint with a subspace, such as 'mini'"
        )

    def _encode(self, pairs: Pairs, *, long_text: LongText | None = None) -> Encoded:
        encoded = self._pipeline.encode(pairs, long_text=long_text)
        return encoded if self._reader is None else self._reader.read(encoded)

    def _read(self, texts: Pairs, *, long_text: LongText | None = None) -> Encoded:
        """Texts alone, encoded by what reads purposes."""
        pipeline = self._pipeline
        if self._reader is not None:
            pipeline = replace(self._reader.pipeline, clean=pipeline.clean)
        return pipeline.encode(texts, long_text=long_text)

    @overload
    def explain(
        self,
        image: ImageInput | None,
        text: str,
        *,
        target: Target = ...,
        n_steps: int = ...,
        baseline: Baseline = ...,
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        image: ImageInput | list[ImageInput] | tuple[ImageInput, ...] | None,
        text: list[str] | tuple[str, ...] | list[list[str]],
        *,
        target: Target = ...,
        n_steps: int = ...,
        baseline: Baseline = ...,
    ) -> list[Explanation]: ...

    def explain(
        self,
        image: ImageInput | Sequence[ImageInput] | None,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        target: Target = "score",
        n_steps: int = 50,
        baseline: Baseline = "padding",
    ) -> Explanation | list[Explanation]:
        """Attribute a score, or P(description), to the words of the text.

        Integrated gradients (Sundararajan et al. 2017) over the text's token embeddings, always in
        float32; the image's embedding is the metric's own. With a purpose subspace, each
        attribution is the sum of what flows through the subspace and around it.

        Args:
            image: one image or a list, as for a call; None for target "purpose". With this
                target and `on_error="record"`, an unreadable image is omitted.
            text: one text or a list, as for a call.
            target: "score" explains exp(logit_scale) cos, 100 cos for OpenAI's CLIP; "purpose"
                explains the purpose probe's log-odds of the text being a description.
            n_steps: number of points on the path from the baseline.
            baseline: what each token is compared with: the embedding of the "padding" token, or
                "zero".

        Returns:
            One explanation for one image and one text, else a list in the order of the input.

        Raises:
            OptionError: an option outside its allowed values, or one that needs a missing image or
                subspace.
            PairingError: numbers or nesting do not match, or there is nothing to explain.
            ImageError, TextError: with `on_error="raise"`, the first item that cannot be explained,
                such as a text beyond the window, whatever `long_text`.
        """
        options = ExplainOptions(target=target, n_steps=n_steps, baseline=baseline)
        if image is None and target == "score":
            raise OptionError(
                "image is None, and a score needs one; give an image, or explain target='purpose'"
            )
        explainer = self._explainer if target == "score" else self._purpose_explainer
        if target == "purpose" and explainer.purpose is None:
            raise self._lacks_subspace("explain the score")
        pairs = texts_alone(text) if image is None else pair_up(image, text)  # pyright: ignore[reportArgumentType]
        if image is None:
            encoded, scores = self._read(pairs, long_text="truncate"), None
        else:
            encoded = self._encode(pairs, long_text="truncate")
            scores = self._scores(encoded).scores
            if target == "purpose":
                # An image that cannot be read costs the picture and the score, no more.
                encoded = replace(encoded, image_errors={})
                if self._reader is not None:
                    encoded = self._reader.retokenize(encoded)
        explanations = explainer(encoded, options, scores=scores, purposes=encoded.pair_purposes)
        one = isinstance(text, str) and (image is None or is_image(image))
        return explanations[0] if one else explanations

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(
            name=self.checkpoint.name,
            pipeline=self._pipeline,
            purpose=self.purpose_subspace,
            signature=self.signature,
        )

    @cached_property
    def _purpose_explainer(self) -> Explainer:
        if (reader := self._reader) is None:
            return self._explainer
        return Explainer(
            name=reader.identity,
            pipeline=reader.pipeline,
            purpose=reader.purpose,
            signature=self.signature,
        )
