"""A torchmetrics metric, for training and evaluation loops."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any

import torch

from descscore.extras import imports_of
from descscore.metric import DescriptionScore

with imports_of("torchmetrics"):
    from torchmetrics import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int, UInt8
    from torch import Tensor

    from descscore.inputs.items import ImageInput


class DescriptionScoreMetric(Metric):
    """The mean score of all pairs seen, as a `torchmetrics.Metric`.

    States are summed over batches and processes. The model is not registered as a submodule: it
    stays on its own device and out of checkpoints, and copies share it.

    Args:
        scorer: scores the pairs, with its options; by default `DescriptionScore()`. Pairs that
            fail are counted in `failed` if it was made with `on_error="record"`.
        samples: also keep the score of every pair, NaN for one that failed.
        **options: options of `torchmetrics.Metric`, which checks them.

    Attributes:
        total: float64, the sum of all scores.
        n: int64, the number of pairs with a score.
        failed: int64, the number of pairs without.
        identity: digest of the scorer's signature, so that a `MetricCollection` does not merge two
            metrics whose first batches agree.
        samples: with `samples=True`, one float32 tensor per batch.

    Raises:
        MissingExtraError: on import, torchmetrics is not installed.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    total: Float[Tensor, ""]
    n: Int[Tensor, ""]
    failed: Int[Tensor, ""]
    identity: UInt8[Tensor, " byte"]
    samples: list[Float[Tensor, " pair"]]

    def __init__(
        self, scorer: DescriptionScore | None = None, *, samples: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.scorer = DescriptionScore() if scorer is None else scorer
        self._keep_samples = samples
        digest = hashlib.sha256(self.scorer.signature.encode()).digest()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("failed", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("identity", torch.tensor([*digest], dtype=torch.uint8), dist_reduce_fx="max")
        if samples:
            self.add_state("samples", [], dist_reduce_fx="cat")

    def update(
        self,
        images: ImageInput | Sequence[ImageInput],
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        references: Sequence[str] | Sequence[str | Sequence[str]] | None = None,
        context: str | Sequence[str] | None = None,
    ) -> None:
        """Score a batch; arguments and errors as for a call of `DescriptionScore`."""
        result = self.scorer(images, texts, references, context)
        scores = torch.from_numpy(result.scores).to(self.device)
        # Not in place: states that were made in inference mode may be added to outside of it.
        self.total = self.total + scores.nansum(dtype=torch.float64)
        self.n = self.n + (len(result) - result.failed)
        self.failed = self.failed + result.failed
        if self._keep_samples:
            self.samples.append(scores)

    def compute(self) -> Float[Tensor, ""]:
        """The mean over the pairs that have a score, in float64; NaN if none has."""
        return self.total / self.n

    def plot(self, val: Any = None, ax: Any = None) -> Any:
        """Plot a value, by default that of `compute`, or a list; returns the figure and axis."""
        return self._plot(val, ax)

    def __deepcopy__(self, memo: dict[int, Any]) -> DescriptionScoreMetric:
        memo[id(self.scorer)] = self.scorer
        copied = memo[id(self)] = type(self).__new__(type(self))
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied
