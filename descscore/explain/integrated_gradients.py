"""Integrated gradients over token embeddings, through the purpose subspace and around it.

Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", equation 3. The path goes
straight from a baseline, in which every content token has the embedding of the padding token (or
zero) and start and end token stay, to the text. Positions keep their embeddings.

At the site (see `descscore.purpose.subspace`) the gradient is split in two: *through* flows on only
from the subspace's coordinates of the end token, *around* from everything else. Gradients are
linear in what flows into them, so through + around = total for each token at any number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.autograd import grad
from tqdm import tqdm

from descscore.towers.clip import batches_by_length, pad, without_autocast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.purpose.probe import Purpose
    from descscore.towers.clip_embeddings import EmbeddingTower

_TOKENS_AT_ONCE = 2048
_TOKENS_ON_CPU = 512
"""More cost more time there: activations leave the caches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Integral:
    """What was found for one text, in float32 on the CPU.

    Attributes:
        total: one value a content token.
        through: likewise; None unless it was asked for.
        around: likewise.
        value: of what is explained, for the text.
        baseline_value: for the baseline.
    """

    total: Float[Tensor, " token"]
    through: Float[Tensor, " token"] | None
    around: Float[Tensor, " token"] | None
    value: float
    baseline_value: float


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients:
    """Explains the `logit` score of texts, or the log-odds of the purpose probe.

    Attributes:
        tower: the text tower.
        purpose: the subspace to split gradients by; None gives `total` alone.
        padding: id of the token whose embedding the baseline has; None for zeros.
        n_steps: points of the Gauss-Legendre quadrature, which is exact for polynomials of degree
            2 n_steps - 1.
        progress: show a bar on stderr.
    """

    tower: EmbeddingTower
    purpose: Purpose | None
    padding: int | None
    n_steps: int
    progress: bool = False

    def __call__(
        self,
        tokens: Sequence[Sequence[int]],
        images: Float[Tensor, "text embedding"] | None,
    ) -> list[Integral]:
        """Explain texts.

        Args:
            tokens: each text's ids, from the start token to the end token, with content between.
            images: each text's unit image embedding, for exp(logit_scale) cos; None explains the
                log-odds of the probe, for which a subspace is needed.
        """
        steps = self.n_steps
        points, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(steps))
        points, weights = ((1 + points) / 2).float(), (weights / 2).float()  # from 0 to 1
        with torch.inference_mode(False), without_autocast(self.tower.scale.device):
            # What was made in inference mode could not be kept for gradients.
            images = None if images is None else images.detach().clone().float()
            values = self._ends_of_paths(tokens, images)
            longest = max(map(len, tokens)) - 2
            sums = torch.zeros(
                2, len(tokens), longest, dtype=torch.float32, device=self.tower.scale.device
            )
            bar = tqdm(
                total=len(tokens) * steps,
                desc="explaining",
                unit="step",
                disable=not self.progress,
                leave=False,
            )
            with bar:
                for rows in self._batches([len(ids) for ids in tokens for _ in range(steps)]):
                    batch = torch.tensor(rows, device="cpu")
                    texts, step = batch // steps, batch % steps
                    parts = self._attribute(tokens, images, texts, points[step])
                    parts = parts * weights[step].to(parts)[:, None]
                    width = parts.shape[2]
                    sums[:, :, :width].index_add_(1, texts.to(parts.device), parts)
                    bar.update(len(rows))
        through, around = sums.cpu()
        total = through + around
        return [
            Integral(
                total=total[row, : len(ids) - 2],
                through=None if self.purpose is None else through[row, : len(ids) - 2],
                around=None if self.purpose is None else around[row, : len(ids) - 2],
                value=values[row, 1].item(),
                baseline_value=values[row, 0].item(),
            )
            for row, ids in enumerate(tokens)
        ]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Rows grouped by similar length; `lengths` counts the start token, which is not run."""
        on_cpu = self.tower.scale.device.type == "cpu"
        tokens = _TOKENS_ON_CPU if on_cpu else _TOKENS_AT_ONCE
        yield from batches_by_length([length - 1 for length in lengths], tokens)

    @torch.no_grad()
    def _ends_of_paths(
        self, tokens: Sequence[Sequence[int]], images: Float[Tensor, "text embedding"] | None
    ) -> Float[Tensor, "text 2"]:
        """What is explained at the baseline and at the text."""
        values = torch.zeros(len(tokens), 2, dtype=torch.float32, device="cpu")
        for rows in self._batches([len(ids) for ids in tokens for _ in range(2)]):
            batch = torch.tensor(rows, device="cpu")
            texts, end = batch // 2, batch % 2
            points, _, ends, of_images = self._points(tokens, images, texts, end.float())
            values[texts, end] = self._value(points, ends, of_images)[0].cpu()
        return values

    def _points(
        self,
        tokens: Sequence[Sequence[int]],
        images: Float[Tensor, "text embedding"] | None,
        texts: Int[Tensor, " row"],
        alphas: Float[Tensor, " row"],
    ) -> tuple[
        Float[Tensor, "row token width"],
        Float[Tensor, "row token width"],
        Int[Tensor, " row"],
        Float[Tensor, "row embedding"] | None,
    ]:
        """Points on the paths, their directions, end positions and image embeddings."""
        device = self.tower.scale.device
        present, place = texts.unique(return_inverse=True)
        ids = pad([tokens[text] for text in present.tolist()], device)[:, 1:]
        counts = torch.tensor([len(tokens[text]) - 2 for text in present.tolist()], device=device)
        content = torch.arange(ids.shape[1], device=device) < counts[:, None]
        embeddings = self.tower.embed(ids)
        neutral = (
            torch.zeros_like(embeddings[0, 0])
            if self.padding is None
            else self.tower.embed(torch.tensor([[self.padding]], device=device))[0, 0]
        )
        directions = torch.where(content[:, :, None], embeddings - neutral, 0)
        place = place.to(device)
        directions, ends = directions[place], counts[place]
        back = (1 - alphas).to(device)[:, None, None]
        points = self.tower.place(embeddings[place] - back * directions)
        return points, directions, ends, None if images is None else images[texts.to(device)]

    def _value(
        self,
        points: Float[Tensor, "row token width"],
        ends: Int[Tensor, " row"],
        images: Float[Tensor, "row embedding"] | None,
    ) -> tuple[Float[Tensor, " row"], Float[Tensor, "row ... width"]]:
        """What is explained, and the stream at the site; the points, without a subspace."""
        tower, purpose = self.tower, self.purpose
        if images is None:
            if purpose is None:
                raise ValueError("without images the probe of a subspace is explained; give one")
            site = tower.run(points, ends, after=0, until=purpose.site.layer, pool=True)
            return site @ (purpose.basis @ purpose.weight) + purpose.bias, site
        site, after = points, 0
        if purpose is not None:
            after = purpose.site.layer
            site = tower.run(points, ends, after=0, until=after, pool=after == tower.depth)
        last = site
        if after < tower.depth:
            last = tower.run(site, ends, after=after, until=tower.depth, pool=True)
        return tower.scale * (tower.project(last) * images).sum(1), site

    def _attribute(
        self,
        tokens: Sequence[Sequence[int]],
        images: Float[Tensor, "text embedding"] | None,
        texts: Int[Tensor, " row"],
        alphas: Float[Tensor, " row"],
    ) -> Float[Tensor, "2 row token"]:
        """Gradient times direction, through and around, at one point of each row's path."""
        points, directions, ends, of_images = self._points(tokens, images, texts, alphas)
        with torch.enable_grad():
            points = points.requires_grad_()
            value, site = self._value(points, ends, of_images)
        if self.purpose is None:
            through, around = None, grad(value.sum(), points)[0]
        elif images is None:
            # The probe reads nothing but the subspace.
            through, around = grad(value.sum(), points)[0], None
        else:
            into = grad(value.sum(), site)[0]
            from_subspace = self._in_subspace(into, ends)
            through = grad(site, points, from_subspace, retain_graph=True)[0]
            around = grad(site, points, into - from_subspace)[0]
        flows = [
            torch.zeros_like(directions[:, :, 0]) if flow is None else (flow * directions).sum(2)
            for flow in (through, around)
        ]
        return torch.stack(flows)[:, :, :-1]

    def _in_subspace(
        self, gradient: Float[Tensor, "row ... width"], ends: Int[Tensor, " row"]
    ) -> Float[Tensor, "row ... width"]:
        """The part of a gradient at the site that flows from the subspace's coordinates."""
        basis = self.purpose.basis  # pyright: ignore[reportOptionalMemberAccess]
        if gradient.ndim == 2:
            return gradient @ basis @ basis.T
        rows = torch.arange(len(ends), device=ends.device)
        part = torch.zeros_like(gradient)
        part[rows, ends] = gradient[rows, ends] @ basis @ basis.T
        return part
