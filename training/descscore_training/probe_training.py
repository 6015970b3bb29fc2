"""The purpose probe: what it learns while a CLIP is fine-tuned, and how it is fitted afterwards."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from descscore.purpose.probe import Purpose
from descscore.towers.clip_text import run_texts
from descscore.writing import write_whole
from descscore_training.pairs.sampling import rows_at
from descscore_training.pretrain.teachers import load_sentence_encoder, mean_states
from descscore_training.step import run_by_length

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor
    from transformers import CLIPModel

    from descscore.inputs.transform import TextTransform
    from descscore.purpose.subspace import Site
    from descscore_training.finetune_recipe import Reader
    from descscore_training.pairs.sources import Pairs


_PAIRS = 32
_TOKENS = 77
_TOGETHER = 64


def teach_reader(
    reader: Reader, parts: Sequence[Pairs], seed: int, out: Path
) -> list[tuple[Float[Tensor, " pair"], Float[Tensor, " pair"]]]:
    """By source, the probabilities of being a description that captions and descriptions have.

    With a teacher it is fine-tuned on the pairs first; its answers are kept in `out`.

    Raises:
        MissingExtraError: there is a teacher, and the extra `teachers` is not installed.
    """
    if not reader.teacher:
        rows = [len(part.captions) for part in parts]
        return [(torch.zeros(count), torch.ones(count)) for count in rows]
    kept = out / "reader.pt"
    if not kept.exists():
        captions = [text for part in parts for text in part.captions]
        descriptions = [text for part in parts for text in part.descriptions]
        encoder = Encoder(*load_sentence_encoder())
        fine_tune(encoder, captions, descriptions, reader, seed)
        read = torch.stack([answers(encoder, side) for side in (captions, descriptions)])
        write_whole(kept, lambda file: torch.save(read, file))
    read = torch.load(kept)
    rows = [len(part.captions) for part in parts]
    captions, descriptions = (side.split(rows) for side in read)
    return list(zip(captions, descriptions, strict=True))


class Encoder(nn.Module):
    """A sentence encoder with one logit: mean of the last hidden states, then a linear layer."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.model = model
        self.head = nn.Linear(model.config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, texts: Sequence[str]) -> Float[Tensor, " text"]:
        """The logit of being a description."""
        # Hidden states are of order 1 / 4 here.
        return self.head(4 * mean_states(self.tokenizer, self.model, texts, window=_TOKENS))[:, 0]


def fine_tune(
    encoder: Encoder,
    captions: Sequence[str],
    descriptions: Sequence[str],
    reader: Reader,
    seed: int,
) -> None:
    """Tell descriptions from captions: each text alone, and each pair's two."""
    batch = min(_PAIRS, len(captions))
    steps = max(1, round(reader.epochs * len(captions) / batch))
    optimiser = torch.optim.AdamW(
        [
            {"params": encoder.model.parameters(), "lr": reader.lr},
            {"params": encoder.head.parameters(), "lr": 10 * reader.lr},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / 20) * (1 - step / steps)
    )
    encoder.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in tqdm(range(steps), "the teacher learns", disable=not sys.stderr.isatty()):
            rows = rows_at(step, len(captions), batch, seed)
            texts = [captions[row] for row in rows] + [descriptions[row] for row in rows]
            # Two parts of similar length each save padding.
            order = np.argsort([len(text) for text in texts])
            parts = [encoder([texts[row] for row in part]) for part in np.array_split(order, 2)]
            logits = torch.cat(parts)[torch.from_numpy(order.argsort())]
            caption, description = logits.split(batch)
            alone = (F.softplus(caption) + F.softplus(-description)).mean() / 2
            loss = alone + 0.5 * F.softplus(caption - description).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    encoder.eval()


@torch.no_grad()
def answers(encoder: Encoder, texts: Sequence[str]) -> Float[Tensor, " text"]:
    """Probabilities of being a description."""
    found = torch.zeros(len(texts))
    order = np.argsort([len(text) for text in texts])
    for rows in np.array_split(order, len(order) // _TOGETHER + 1):
        found[torch.from_numpy(rows)] = encoder([texts[row] for row in rows]).sigmoid()
    return found


def pair_states(
    model: CLIPModel, site: Site, texts: TextTransform, parts: Sequence[Pairs]
) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
    """Activations of all captions and descriptions of some sources at a site, in float32."""
    captions, descriptions = (
        run_by_length(
            model,
            [text.ids for part in parts for text in texts(getattr(part, side))],
            lambda ids, ends: run_texts(model, ids, ends, site.layer, keep=False).site,
        )
        for side in ("captions", "descriptions")
    )
    return captions, descriptions


def fit_probe(
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
    basis: Float[Tensor, "width dimension"],
    site: Site,
) -> Purpose:
    """A logistic regression from coordinates to P(description), on standardised coordinates.

    L2 regularisation of scikit-learn's default strength.

    Args:
        captions: activations of the training split's captions at the site.
        descriptions: of its descriptions.
        basis: of the subspace.
        site: where it is.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    low, high = (states.float() @ basis for states in (captions, descriptions))
    coordinates = torch.cat([low, high]).double().cpu().numpy()
    labels = np.repeat([0, 1], [len(low), len(high)])
    scaler = StandardScaler().fit(coordinates)
    fitted = LogisticRegression(max_iter=2000).fit(scaler.transform(coordinates), labels)
    weight = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - (weight * scaler.mean_).sum()
    return Purpose(
        site=site,
        basis=basis.detach().cpu(),
        weight=torch.tensor(weight, dtype=torch.float32),
        bias=torch.tensor(bias, dtype=torch.float32),
        caption_mean=low.mean(0).cpu(),
        description_mean=high.mean(0).cpu(),
    )


def calibrate(
    purpose: Purpose,
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
) -> Purpose:
    """Rescale and shift a probe's logit so that its probabilities fit other texts (Platt 1999).

    Args:
        purpose: with the probe.
        captions: activations at the site, of texts that the probe was not fitted on.
        descriptions: as many.
    """
    from sklearn.linear_model import LogisticRegression

    logits = _logits(purpose, torch.cat([captions, descriptions])).double().numpy()
    labels = np.repeat([0, 1], [len(captions), len(descriptions)])
    fitted = LogisticRegression(C=np.inf).fit(logits[:, None], labels)
    scale, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return replace(purpose, weight=scale * purpose.weight, bias=scale * purpose.bias + shift)


def probe_ranking(
    purpose: Purpose,
    captions: Float[Tensor, "pair width"],
    descriptions: Float[Tensor, "pair width"],
) -> float:
    """Share of pairs whose description the probe finds likelier than the caption."""
    caption, description = (_logits(purpose, states) for states in (captions, descriptions))
    return (description > caption).float().mean().item()


def probe_accuracy(
    purpose: Purpose,
    captions: Float[Tensor, "caption width"],
    descriptions: Float[Tensor, "description width"],
) -> float:
    """Share of single texts that the probe tells right, captions counting half."""
    caption, description = (_logits(purpose, states) for states in (captions, descriptions))
    right = (caption <= 0).float().mean() + (description > 0).float().mean()
    return right.item() / 2


def _logits(purpose: Purpose, states: Float[Tensor, "text width"]) -> Float[Tensor, " text"]:
    return purpose.coordinates(states.cpu()) @ purpose.weight + purpose.bias
