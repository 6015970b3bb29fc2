"""The steps of pretraining."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from descscore.towers.clip import embed_images, embed_texts, pad, without_autocast
from descscore_training.measure import own_above_others
from descscore_training.objective import contrastive_loss
from descscore_training.pairs.sampling import augment, jitter_colours, rows_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int, UInt8
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer

    from descscore.inputs.transform import ImageTransform
    from descscore_training.pretrain.corpus import Corpus, Photos
    from descscore_training.pretrain.lessons import Lessons
    from descscore_training.pretrain.recipe import PretrainRecipe, Schedule

_TEXTS_ENCODED_TOGETHER = 32


class _Batch(NamedTuple):
    """Images with texts.

    Attributes:
        images: crops.
        targets: the teacher's embeddings of the images, NaN where it has none.
        texts: to encode.
        positive: which texts belong to which images.
        ranked: the texts of all images, those too that are not encoded.
    """

    images: UInt8[np.ndarray, "image row column 3"]
    targets: Float[Tensor, "image projection"]
    texts: list[str]
    positive: Bool[Tensor, "image text"]
    ranked: list[str]


class ContrastiveRun:
    """A CLIP in training: its batches, steps, validation and saved state."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        corpus: Corpus,
        transform: ImageTransform,
        tokenizer: CLIPTokenizer,
        model: CLIPModel,
        lessons: Lessons | None = None,
    ) -> None:
        self.lessons = lessons
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
        batch = self._image_batch(step, random)
        pairs = [
            source.rows[row]
            for source in self.corpus.pairs
            for row in rows_at(step, len(source.rows), source.batch, self.recipe.seed)
        ]
        texts = [*batch.texts, *(text for pair in pairs for text in pair)]
        with self._autocast():
            pixels = augment(batch.images, schedule.shift, self.generator)
            pixels, targets, mixed = self._mix(pixels, batch.targets)
            image = self._encode_images(pixels, schedule.jitter)
            text = self._encode_texts(texts)
        scale = self.model.logit_scale.exp()
        count = len(batch.texts)
        losses = {
            "images": contrastive_loss(
                scale * image[~mixed] @ text[:count].T, batch.positive[~mixed]
            )
        }
        if pairs:
            left, right = text[count::2], text[count + 1 :: 2]
            same = torch.eye(len(pairs), dtype=torch.bool, device=text.device)
            losses["texts"] = contrastive_loss(scale * left @ right.T, same)
        if self.lessons is not None and self.recipe.teacher is not None:
            taught = self.lessons.losses(image, targets, batch.ranked, text, texts)
            losses["taught photos"] = self.recipe.teacher.photo_weight * taught[0]
            losses["taught texts"] = self.recipe.teacher.text_weight * taught[1]
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
            for source in self.corpus.photos:
                held = source.held
                if held is None:
                    continue
                images = self._encode_all(held.images)
                if held.labels:
                    texts = self._encode_texts([texts[0] for texts in held.texts])
                    truth = torch.from_numpy(held.keys).to(images.device)
                    right = (images @ texts.T).argmax(1) == truth
                    measured[f"{source.name} accuracy"] = right.float().mean().item()
                    continue
                own = np.repeat(held.keys, [len(texts) for texts in held.texts])
                texts = self._encode_texts([text for texts in held.texts for text in texts])
                # In half precision many captions would tie.
                with without_autocast(images.device):
                    similarity = (images @ texts.T).cpu().numpy()
                measured[f"{source.name} retrieval"] = float((similarity.argmax(0) == own).mean())
                measured[f"{source.name} fit"] = own_above_others(similarity, own)
            for source in self.corpus.pairs:
                if not source.held:
                    continue
                left, right = (self._encode_texts(side) for side in zip(*source.held, strict=True))
                own = (left @ right.T).argmax(1) == torch.arange(len(left), device=left.device)
                measured[f"{source.name} retrieval"] = own.float().mean().item()
        return measured

    def offset_cosines(self, offset: float) -> None:
        """Raise all cosines; lengths of embeddings are measured on the first step's batch."""
        self.model.eval()
        batch = self._image_batch(0, np.random.default_rng([self.recipe.seed, 1, 0]))
        pixels = self.transform.normalise(torch.from_numpy(batch.images).to(self.model.device))
        ids = self.tokenizer(batch.texts, truncation=True)["input_ids"]
        offset_cosines(self.model, pixels, pad(ids, self.model.device), offset)

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

    def _image_batch(self, step: int, random: np.random.Generator) -> _Batch:
        images, targets, texts, ranked, image_keys, text_keys = [], [], [], [], [], []
        width = self.recipe.architecture.projection

        def look(source: Photos, rows: Int[np.ndarray, " batch"]) -> None:
            """Take rows of a source: random crops with the teacher's targets, if it has any."""
            lesson = self.lessons.photos.get(source.name) if self.lessons else None
            if lesson is None:
                images.append(source.images[rows])
                targets.append(torch.full((len(rows), width), torch.nan))
            else:
                views = random.integers(len(lesson.crops), size=len(rows))
                images.append(lesson.crops[views, rows])
                targets.append(lesson.targets[views, rows])

        for number, source in enumerate(self.corpus.photos):
            rows = rows_at(step, len(source.images), source.batch, self.recipe.seed)
            look(source, rows)
            image_keys += [(number, int(key)) for key in source.keys[rows]]
            for key, own in source.read_at_step(rows, random):
                texts += own
                text_keys += [(number, key)] * len(own)
                ranked += own if source.labels else ()
            for row in () if source.labels else np.unique(rows):
                ranked += source.texts[row]
        key_ids = {key: i for i, key in enumerate(dict.fromkeys([*text_keys, *image_keys]))}
        of_images = torch.tensor([key_ids[key] for key in image_keys])
        of_texts = torch.tensor([key_ids[key] for key in text_keys])
        positive = of_images[:, None] == of_texts[None]
        return _Batch(
            np.concatenate(images),
            torch.cat(targets),
            texts,
            positive.to(self.model.device),
            ranked,
        )

    def _mix(
        self,
        pixels: UInt8[Tensor, "image row column 3"],
        targets: Float[Tensor, "image projection"],
    ) -> tuple[
        UInt8[Tensor, "image row column 3"],
        Float[Tensor, "image projection"],
        Bool[Tensor, " image"],
    ]:
        """Blend some taught photos with others, and their targets alike; which were blended."""
        share = self.recipe.teacher.mix if self.recipe.teacher else 0.0
        taught = (~targets[:, 0].isnan()).nonzero()[:, 0]
        order = taught[torch.randperm(len(taught), generator=self.generator)]
        rows = order[: round(share * len(taught))]
        mixed = torch.zeros(len(pixels), dtype=torch.bool)
        mixed[rows] = True
        others = order.roll(1)[: len(rows)]
        weight = torch.rand(len(rows), generator=self.generator)
        pixels, targets = pixels.clone(), targets.clone()
        by_pixel = weight[:, None, None, None]
        pixels[rows] = torch.lerp(pixels[others].float(), pixels[rows].float(), by_pixel).byte()
        blend = torch.lerp(targets[others], targets[rows], weight[:, None])
        targets[rows] = nn.functional.normalize(blend, dim=1)
        return pixels, targets, mixed.to(self.model.device)

    def _encode_images(
        self, pixels: UInt8[Tensor, "image row column 3"], jitter: float = 0.0
    ) -> Float[Tensor, "image projection"]:
        normalised = self.transform.normalise(pixels.to(self.model.device))
        if jitter:
            normalised = jitter_colours(normalised, jitter, self.generator)
        return embed_images(self.model, normalised)

    def _encode_all(
        self, images: UInt8[np.ndarray, "image row column 3"]
    ) -> Float[Tensor, "image projection"]:
        parts = np.array_split(images, len(images) // 250 + 1)
        return torch.cat([self._encode_images(torch.from_numpy(part)) for part in parts])

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


@torch.no_grad()
def offset_cosines(
    model: CLIPModel,
    images: Float[Tensor, "image 3 row column"],
    texts: Int[Tensor, "text token"],
    offset: float,
) -> None:
    """Turn a cosine c into about (1 - offset) c + offset, in place.

    A CLIP trained from scratch gives unrelated images and texts cosines around 0, half of which
    CLIPScore clamps; OpenAI's are around 0.15. To both embeddings comes one dimension of constant
    length, sqrt(offset / (1 - offset)) times their mean length. The logit scale grows by
    1 / (1 - offset), so that logits stay as they are but for a constant.

    The projections have no bias. But a layer norm's output y = g x + b has sum(y / g) = sum(b / g),
    whatever its input: so 1 / g times y is the constant. Its share in what is projected is raised
    by adding g to b, and taken back from the other dimensions.

    Args:
        model: in float32.
        images: normalised pixels, whose embeddings' mean length is taken.
        texts: token ids, as well.
        offset: at least 0 and below 1.
    """
    length = math.sqrt(offset / (1 - offset))
    seen: Any = model.get_image_features(pixel_values=images)
    read: Any = model.get_text_features(input_ids=texts)
    for norm, name, output in (
        (model.vision_model.post_layernorm, "visual_projection", seen),
        (model.text_model.final_layer_norm, "text_projection", read),
    ):
        weight = getattr(model, name).weight
        lengths = output.pooler_output.norm(dim=1)
        added = norm.weight.clone()
        norm.bias.add_(added)
        constant = (norm.bias / norm.weight).sum()
        others = weight - torch.outer(weight @ added, 1 / norm.weight) / constant
        row = length * lengths.mean() / constant / norm.weight
        wider = nn.Linear(weight.shape[1], len(weight) + 1, bias=False)
        wider.weight.copy_(torch.cat([others, row[None]]))
        setattr(model, name, wider.to(weight.device))
    model.logit_scale.add_(-math.log(1 - offset))
    model.projection_dim = len(weight) + 1
    configs: Any = (model.config, model.config.text_config, model.config.vision_config)
    for config in configs:
        config.projection_dim = len(weight) + 1
