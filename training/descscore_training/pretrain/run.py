"""The steps of pretraining."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from descscore.towers.clip import embed_images, embed_texts
from descscore_training.pairs.sampling import augment, rows_at
from descscore_training.pretrain.contrastive import contrastive_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer

    from descscore.inputs.transform import ImageTransform
    from descscore_training.pretrain.corpus import Corpus
    from descscore_training.pretrain.recipe import PretrainRecipe, Schedule

_TEXTS_ENCODED_TOGETHER = 32


class ContrastiveRun:
    """A CLIP in training: its batches, steps, validation and saved state."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        corpus: Corpus,
        transform: ImageTransform,
        tokenizer: CLIPTokenizer,
        model: CLIPModel,
    ) -> None:
        self.recipe = recipe
        self.corpus = corpus
        self.transform = transform
        self.tokenizer = tokenizer
        self.model = model
        self.optimisers = _optimisers(model, recipe.schedule)
        self.peaks = [group["lr"] for o in self.optimisers for group in o.param_groups]
        self.keep = 1.0
        self.generator = torch.Generator()
        model.vision_model.embeddings.register_forward_hook(self._drop_patches)

    def step(self, step: int) -> dict[str, float]:
        """Take one optimiser step; the losses in nats."""
        schedule = self.recipe.schedule
        self.model.train()
        self.keep = schedule.keep(step)
        random = np.random.default_rng([self.recipe.seed, 1, step])
        self.generator.manual_seed(int(random.integers(2**62)))
        images, texts, positive = self._image_batch(step, random)
        pairs = self._text_pairs(step)
        with self._autocast():
            image = self._encode_images(augment(images, schedule.shift, self.generator))
            text = self._encode_texts([*texts, *(text for pair in pairs for text in pair)])
        scale = self.model.logit_scale.exp()
        losses = {"images": contrastive_loss(scale * image @ text[: len(texts)].T, positive)}
        if pairs:
            left, right = text[len(texts) :: 2], text[len(texts) + 1 :: 2]
            same = torch.eye(len(pairs), dtype=torch.bool, device=text.device)
            losses["texts"] = contrastive_loss(scale * left @ right.T, same)
        torch.stack(list(losses.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        groups = [group for o in self.optimisers for group in o.param_groups]
        for peak, group in zip(self.peaks, groups, strict=True):
            group["lr"] = peak * schedule.rate(step)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Zero-shot accuracy, and retrieval of a text's partner, on held-out rows."""
        self.model.eval()
        self.keep = 1.0
        measured = {}
        with self._autocast():
            for source in self.corpus.labelled:
                if not len(source.held_images):
                    continue
                prompts = [self.recipe.templates[0].format(label=label) for label in source.labels]
                texts = self._encode_texts(prompts)
                found = torch.cat(
                    [
                        (self._encode_images(torch.from_numpy(part)) @ texts.T).argmax(1)
                        for part in np.array_split(
                            source.held_images, len(source.held_images) // 250 + 1
                        )
                    ]
                )
                truth = torch.from_numpy(source.held_label_ids).to(found.device)
                measured[f"{source.name} accuracy"] = (found == truth).float().mean().item()
            for source in self.corpus.pairs:
                if not source.held:
                    continue
                left, right = (self._encode_texts(side) for side in zip(*source.held, strict=True))
                own = (left @ right.T).argmax(1) == torch.arange(len(left), device=left.device)
                measured[f"{source.name} retrieval"] = own.float().mean().item()
        return measured

    def state(self, step: int) -> dict[str, Any]:
        """Weights and optimisers after a step."""
        return {
            "step": step,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def load(self, state: dict[str, Any]) -> int:
        """Take up a state; the number of steps taken."""
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        return state["step"]

    def _image_batch(
        self, step: int, random: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "image row column 3"], list[str], Bool[Tensor, "image text"]]:
        images, texts, image_keys, text_keys = [], [], [], []
        for number, source in enumerate(self.corpus.labelled):
            rows = rows_at(step, len(source.images), source.batch, self.recipe.seed)
            images.append(source.images[rows])
            ids = source.label_ids[rows]
            image_keys += [(number, int(i)) for i in ids]
            for label in np.unique(ids):
                template = self.recipe.templates[random.integers(len(self.recipe.templates))]
                texts.append(template.format(label=source.labels[label]))
                text_keys.append((number, int(label)))
        for number, source in enumerate(self.corpus.captioned, start=len(self.corpus.labelled)):
            rows = rows_at(step, len(source.images), source.batch, self.recipe.seed)
            images.append(source.images[rows])
            image_keys += [(number, int(row)) for row in rows]
            for row in np.unique(rows):
                texts += source.texts[row]
                text_keys += [(number, int(row))] * len(source.texts[row])
        key_ids = {key: i for i, key in enumerate(dict.fromkeys(text_keys))}
        of_images = torch.tensor([key_ids[key] for key in image_keys])
        of_texts = torch.tensor([key_ids[key] for key in text_keys])
        positive = of_images[:, None] == of_texts[None]
        return np.concatenate(images), texts, positive.to(self.model.device)

    def _text_pairs(self, step: int) -> list[tuple[str, str]]:
        pairs = []
        for source in self.corpus.pairs:
            rows = rows_at(step, len(source.rows), source.batch, self.recipe.seed)
            pairs += [source.rows[row] for row in rows]
        return pairs

    def _encode_images(
        self, pixels: UInt8[Tensor, "image row column 3"]
    ) -> Float[Tensor, "image projection"]:
        return embed_images(self.model, self.transform.normalise(pixels.to(self.model.device)))

    def _encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "text projection"]:
        """Encode in batches of similar length: short texts are not padded to the longest."""
        ids = self.tokenizer(list(texts), truncation=True)["input_ids"]
        order = torch.tensor([len(tokens) for tokens in ids]).argsort()
        parts = []
        for part in order.split(_TEXTS_ENCODED_TOGETHER):
            batch = self.tokenizer.pad({"input_ids": [ids[i] for i in part]}, return_tensors="pt")
            parts.append(embed_texts(self.model, batch["input_ids"].to(self.model.device)))
        return torch.cat(parts)[order.argsort()]

    def _drop_patches(
        self, module: nn.Module, inputs: object, tokens: Float[Tensor, "image token width"]
    ) -> Float[Tensor, "image kept width"]:
        """Keep the class token and a random share of the patches of each image."""
        if not module.training or self.keep == 1.0:
            return tokens
        images, count = tokens.shape[0], tokens.shape[1] - 1
        order = torch.rand(images, count, generator=self.generator).argsort(1)
        kept = order[:, : max(1, round(count * self.keep))].to(tokens.device) + 1
        rows = torch.arange(images, device=tokens.device)[:, None]
        return torch.cat([tokens[:, :1], tokens[rows, kept]], 1)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, dtype=torch.bfloat16)


def _optimisers(model: CLIPModel, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW without decay for all else."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        inside = ".layers." in name and parameter.ndim == 2
        (matrices if inside else others).append(parameter)
    return [
        torch.optim.Muon(
            matrices,
            lr=schedule.lr,
            weight_decay=schedule.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=schedule.lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]
