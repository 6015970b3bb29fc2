"""Train a small CLIP from scratch on labelled photos, photos with texts, and pairs of texts.

A step draws a batch from every source and adds two contrastive losses (Radford et al. 2021): images
against texts, and, for sources without images, texts against texts. Labels become sentences through
templates, and all images of one label share one sentence and are its positives, so that a batch
encodes each text once (Khosla et al. 2020, supervised contrastive learning).
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from descscore.checkpoints.attach import quiet_transformers
from descscore.encode import embed_images, embed_texts
from descscore.errors import RecipeError
from descscore.preprocess import ImageTransform
from descscore_training.config import save_recipe
from descscore_training.contrastive import contrastive_loss
from descscore_training.corpus import Corpus, Source, load_corpus
from descscore_training.sampling import augment, rows_at
from descscore_training.vocabulary import train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float, UInt8
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer

_TEXTS_ENCODED_TOGETHER = 32


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of the CLIP; both towers have the same width and depth."""

    width: int = 192
    layers: int = 6
    heads: int = 3
    projection: int = 192
    image_size: int = 64
    patch_size: int = 8
    window: int = 77
    vocabulary: int = 5000


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: optimiser steps.
        warmup: steps over which the learning rate rises linearly; it then falls to 0 as a cosine.
        lr: peak learning rate of the blocks' matrices (Muon, Jordan et al. 2024, scaled to AdamW's
            update size) and of everything else (AdamW).
        weight_decay: decoupled, on the blocks' matrices.
        patch_keep: share of an image's patches that is encoded (FLIP, Li et al. 2023).
        full_from: share of the steps after which every patch is encoded.
        shift: images move by up to so many pixels in each direction, and half are mirrored.
        save_every: steps between states from which an interrupted run goes on.
    """

    steps: int = 3000
    warmup: int = 200
    lr: float = 2e-3
    weight_decay: float = 0.05
    patch_keep: float = 0.5
    full_from: float = 0.8
    shift: int = 8
    save_every: int = 250

    def __post_init__(self) -> None:
        if self.steps < 1 or self.save_every < 1:
            raise RecipeError("schedule.steps and schedule.save_every must be at least 1")
        if not 0 < self.patch_keep <= 1:
            raise RecipeError(f"schedule.patch_keep is {self.patch_keep}; it must be in (0, 1]")

    def rate(self, step: int) -> float:
        """The learning rate's factor at a step, in [0, 1]."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * (1 + math.cos(math.pi * done))

    def keep(self, step: int) -> float:
        """The share of patches encoded at a step."""
        return self.patch_keep if step < self.full_from * self.steps else 1.0


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """A small CLIP and what it is trained on.

    Attributes:
        about: what it is for and what must be known of it, for the model card.
        seed: of the weights, the batches and the augmentation.
        templates: sentences that labels become; the first is the one that is validated.
        sources: the data.
        architecture: the shape of the CLIP.
        schedule: how it is trained.
    """

    about: str = ""
    seed: int = 0
    templates: tuple[str, ...] = ("An image of {label}",)
    sources: tuple[Source, ...]
    architecture: Architecture = field(default_factory=Architecture)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        for template in self.templates:
            if "{label}" not in template:
                raise RecipeError(f"the template {template!r} lacks {{label}}")
        if not self.templates:
            raise RecipeError("templates is empty; give at least one sentence with {label}")


def pretrain(
    recipe: PretrainRecipe, data: Path, out: Path, *, device: str = "cpu", progress: bool = True
) -> Path:
    """Train a CLIP and save it in transformers' format, weights in float16.

    An interrupted run goes on from its last saved state when it is called again with the same
    folder, and ends with the same weights, since every step's batch depends only on the seed and
    the step. The weights of two runs differ in the vocabulary: its learner settles ties at random.

    Args:
        recipe: what to train, on what, for how long.
        data: the folder that the sources' paths are relative to.
        out: where the model, the log (`metrics.jsonl`) and the state go.
        device: where to train; bfloat16 autocast on all.
        progress: whether to show a live line on stderr.

    Returns:
        The folder of the finished model, `out/model`.

    Raises:
        RecipeError: a source is missing or malformed, or `out` holds a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, recipe)
    size = recipe.architecture.image_size
    transform = ImageTransform(resize=size, crop=(size, size))
    corpus = load_corpus(recipe.sources, data, transform)
    tokenizer = _tokenizer(recipe, corpus, out / "tokenizer")
    torch.manual_seed(recipe.seed)
    model = build_clip(recipe.architecture, tokenizer, device)
    run = _Run(recipe, corpus, transform, tokenizer, model)
    state = out / "state.pt"
    log = out / "metrics.jsonl"
    first = run.load(state) if state.exists() else 0
    _forget_after(log, first)
    started = time.monotonic()
    steps = tqdm(
        range(first, recipe.schedule.steps),
        initial=first,
        total=recipe.schedule.steps,
        disable=not progress,
        unit="step",
        mininterval=2,
    )
    for step in steps:
        losses = run.step(step)
        if (step + 1) % 50 == 0:
            steps.set_postfix({name: f"{loss:.3f}" for name, loss in losses.items()})
        last = step + 1 == recipe.schedule.steps
        if (step + 1) % recipe.schedule.save_every == 0 or last:
            record = {"step": step + 1, **losses, **run.validate(), "s": time.monotonic() - started}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            run.save(state, step + 1)
    folder = out / "model"
    _export(model, tokenizer, recipe.architecture, folder)
    return folder


def build_clip(architecture: Architecture, tokenizer: CLIPTokenizer, device: str) -> CLIPModel:
    """A randomly initialised CLIP in float32."""
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": architecture.width,
        "intermediate_size": 4 * architecture.width,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        # One kernel forwards and one backwards; quick_gelu takes three each way.
        "hidden_act": "gelu",
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": architecture.window,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": architecture.image_size, "patch_size": architecture.patch_size}
    config = CLIPConfig(
        text_config=tower | text,
        vision_config=tower | vision,
        projection_dim=architecture.projection,
    )
    # On a CPU in bfloat16, PyTorch's fused attention runs backwards far slower than plain products.
    attention = "eager" if device == "cpu" else "sdpa"
    with torch.device(device):
        return CLIPModel._from_config(config, attn_implementation=attention)


class _Run:
    """The state of one training run."""

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

    def save(self, path: Path, step: int) -> None:
        state = {
            "step": step,
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        unfinished = path.with_suffix(".tmp")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def load(self, path: Path) -> int:
        state = torch.load(path, map_location=self.model.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        return state["step"]

    def _image_batch(
        self, step: int, random: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "image height width 3"], list[str], Bool[Tensor, "image text"]]:
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
        self, pixels: UInt8[Tensor, "image height width 3"]
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


def _tokenizer(recipe: PretrainRecipe, corpus: Corpus, folder: Path) -> CLIPTokenizer:
    """The run's vocabulary, learned once: its learner settles ties at random."""
    from transformers import CLIPTokenizer

    if not folder.exists():
        unfinished = folder.with_suffix(".tmp")
        train_tokenizer(
            corpus.all_texts(recipe.templates),
            vocabulary=recipe.architecture.vocabulary,
            window=recipe.architecture.window,
        ).save_pretrained(unfinished)
        unfinished.replace(folder)
    return CLIPTokenizer.from_pretrained(folder)


def _claim(out: Path, recipe: PretrainRecipe) -> None:
    """Refuse a folder that holds a run of another recipe."""
    unfinished, resolved = out / "recipe.tmp", out / "recipe.json"
    save_recipe(recipe, unfinished)
    if resolved.exists() and resolved.read_text("utf-8") != unfinished.read_text("utf-8"):
        unfinished.unlink()
        raise RecipeError(
            f"{out} holds a run of another recipe; choose another folder or remove it"
        )
    unfinished.replace(resolved)


def _forget_after(log: Path, step: int) -> None:
    """Drop the records of steps that will be taken again."""
    if log.exists():
        whole = [line for line in log.read_text("utf-8").splitlines(keepends=True) if "\n" in line]
        unfinished = log.with_suffix(".tmp")
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        unfinished.write_text("".join(kept), encoding="utf-8")
        unfinished.replace(log)


def _export(
    model: CLIPModel, tokenizer: CLIPTokenizer, architecture: Architecture, folder: Path
) -> None:
    from transformers import CLIPImageProcessorPil

    size = architecture.image_size
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    )
    with quiet_transformers():
        model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
