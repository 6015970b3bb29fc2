"""What a teacher says of the training data: a target embedding for each text and each photo.

The teacher's two models know nothing of each other. Two projections, trained contrastively on the
photos with texts, take their features into one space, that of the CLIP to be trained (as in
LiT, Zhai et al. 2022, with both towers locked). The CLIP then learns from the targets: of texts by
their cosine, of photos by their cosine and by how they rank the batch's texts. A photo has several
random crops, and teacher and student see the same one (Beyer et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from descscore.writing import write_whole
from descscore_training.objective import contrastive_loss
from descscore_training.pairs.sampling import rows_at
from descscore_training.pretrain.teachers import load_teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jaxtyping import Float, Float16, UInt8
    from torch import Tensor

    from descscore_training.pretrain.corpus import Corpus
    from descscore_training.pretrain.recipe import PretrainRecipe, Teaching

_FITTED_AT_ONCE = 1024
_RATE = 1e-3
_ASPECT = 4 / 3


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Crops of one source's photos, and their targets."""

    crops: UInt8[np.ndarray, "view image row column 3"]
    targets: Float[Tensor, "view image projection"]


@dataclass(frozen=True, kw_only=True)
class Lessons:
    """The targets of all texts, and of the photos of some sources.

    Attributes:
        rows: text -> row of `texts`.
        texts: unit embeddings.
        photos: by name of the source.
        scale: the logit scale at which the teacher's projections were trained.
    """

    rows: dict[str, int]
    texts: Float[Tensor, "text projection"]
    photos: dict[str, Lesson]
    scale: float

    def losses(
        self,
        photos: Float[Tensor, "image projection"],
        targets: Float[Tensor, "image projection"],
        ranked: Sequence[str],
        texts: Float[Tensor, "text projection"],
        read: Sequence[str],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """How far a batch's embeddings are from the teacher's.

        Args:
            photos: the CLIP's unit embeddings of images.
            targets: the teacher's, NaN where it has none.
            ranked: texts that the images rank, by the teacher's embeddings of them.
            texts: the CLIP's unit embeddings of texts.
            read: the texts.

        Returns:
            Of photos: one minus the mean cosine, plus the Kullback-Leibler divergence of the
            rankings in nats. Of texts: one minus the mean cosine.
        """
        taught = ~targets[:, 0].isnan()
        seen, wanted = photos[taught.to(photos.device)], targets[taught].to(photos.device)
        bank = self._of(ranked).to(photos.device)
        logs = (self.scale * seen @ bank.T).log_softmax(1)
        shares = (self.scale * wanted @ bank.T).log_softmax(1)
        divergence = F.kl_div(logs, shares, reduction="batchmean", log_target=True)
        of_texts = self._of(read).to(texts.device)
        return (
            divergence + 1 - (seen * wanted).sum(1).mean(),
            1 - (texts * of_texts).sum(1).mean(),
        )

    def _of(self, texts: Sequence[str]) -> Float[Tensor, "text projection"]:
        return self.texts[[self.rows[text] for text in texts]]


def prepare_lessons(
    recipe: PretrainRecipe, teaching: Teaching, corpus: Corpus, folder: Path
) -> Lessons:
    """Crop the photos, ask the teacher, and train its projections.

    Crops and features are kept in `folder`, so that a run that resumes asks for nothing twice.
    """
    folder.mkdir(exist_ok=True)
    teacher = cache(load_teacher)
    texts = list(dict.fromkeys(corpus.all_texts()))
    rows = {text: row for row, text in enumerate(texts)}
    text_features = _kept(folder / "texts.npy", lambda: teacher().texts(texts))
    photos = []
    for source in sorted(corpus.photos, key=lambda part: bool(part.labels)):
        if source.name not in teaching.photos:
            continue
        crops = _kept(
            folder / f"{source.name}-crops.npy",
            partial(_crops, source.images, teaching, recipe.seed),
        )
        flat = crops.reshape(-1, *crops.shape[2:])
        features = _kept(
            folder / f"{source.name}-features.npy", lambda flat=flat: teacher().images(flat)
        ).reshape(*crops.shape[:2], -1)
        own = [[rows[text] for text in source.texts[key]] for key in source.keys]
        photos.append(_Photos(name=source.name, crops=crops, features=features, own=own))
    fitted = folder / "targets.pt"
    if not fitted.exists():
        targets = _fit(recipe, teaching, torch.from_numpy(text_features).float(), photos)
        write_whole(fitted, lambda file: torch.save(targets, file))
    targets = torch.load(fitted)
    of_photos = zip(photos, targets["photos"], strict=True)
    return Lessons(
        rows=rows,
        texts=targets["texts"],
        photos={part.name: Lesson(crops=part.crops, targets=own) for part, own in of_photos},
        scale=targets["scale"],
    )


@dataclass(frozen=True, kw_only=True)
class _Photos:
    """What the teacher sees of one source, and the rows of the texts of each photo."""

    name: str
    crops: UInt8[np.ndarray, "view image row column 3"]
    features: Float16[np.ndarray, "view image feature"]
    own: list[list[int]]


class _Projections(nn.Module):
    """Features of photos through one hidden layer; those of texts moved by a linear map."""

    def __init__(self, photos: Float[Tensor, "image feature"], texts: int, width: int) -> None:
        super().__init__()
        self.mean = photos.mean(0)
        self.std = photos.std(0) + 1e-3
        hidden = 4 * width
        self.photos = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(photos.shape[1], hidden),
            nn.GELU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, width),
        )
        self.texts = nn.Linear(texts, width, bias=False)
        nn.init.eye_(self.texts.weight)
        self.scale = nn.Parameter(torch.tensor(3.0))

    def of_photos(self, features: Float[Tensor, "image feature"]) -> Float[Tensor, "image width"]:
        return F.normalize(self.photos((features - self.mean) / self.std), dim=1)

    def of_texts(self, features: Float[Tensor, "text feature"]) -> Float[Tensor, "text width"]:
        return F.normalize(self.texts(features), dim=1)


def _fit(
    recipe: PretrainRecipe,
    teaching: Teaching,
    texts: Float[Tensor, "text feature"],
    photos: list[_Photos],
) -> dict[str, Any]:
    """Train the projections on every photo, a random crop and a random text of it at a time."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng([recipe.seed, 2])
    features = torch.from_numpy(np.concatenate([part.features for part in photos], 1)).float()
    own = [texts for part in photos for texts in part.own]
    views, count = features.shape[:2]
    model = _Projections(features.flatten(0, 1), texts.shape[1], recipe.architecture.projection)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.05)
    steps = teaching.steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _RATE, total_steps=steps, pct_start=min(0.05, 2 / steps)
    )
    for step in range(steps):
        chosen = rows_at(step, count, min(_FITTED_AT_ONCE, count), recipe.seed)
        read = torch.tensor([own[row][random.integers(len(own[row]))] for row in chosen])
        seen = features[torch.from_numpy(random.integers(views, size=len(chosen))), chosen]
        similarity = model.scale.exp() * model.of_photos(seen) @ model.of_texts(texts[read]).T
        optimiser.zero_grad()
        contrastive_loss(similarity, read[:, None] == read[None]).backward()
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        targets = model.of_photos(features.flatten(0, 1)).view(views, count, -1)
        ends = np.cumsum([part.crops.shape[1] for part in photos])[:-1].tolist()
        return {
            "photos": torch.tensor_split(targets, ends, dim=1),
            "texts": model.of_texts(texts),
            "scale": model.scale.exp().item(),
        }


def _crops(
    images: UInt8[np.ndarray, "image row column 3"], teaching: Teaching, seed: int
) -> UInt8[np.ndarray, "view image row column 3"]:
    """Random crops of each image, stretched to its size (Szegedy et al. 2015)."""
    size = images.shape[1]
    out = np.empty((teaching.views, *images.shape), np.uint8)
    for view in range(teaching.views):
        random = np.random.default_rng([seed, 3, view])
        for row, image in enumerate(images):
            area = random.uniform(teaching.smallest, 1) * size * size
            aspect = np.exp(random.uniform(-1, 1) * np.log(_ASPECT))
            width, height = min(size, np.sqrt(area * aspect)), min(size, np.sqrt(area / aspect))
            left, top = random.uniform(0, size - width), random.uniform(0, size - height)
            box = (left, top, left + width, top + height)
            picture = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box)
            out[view, row] = np.asarray(picture)
    return out


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array in a file, made if it is not there."""
    if not path.exists():
        array = make()

        def write(unfinished: Path) -> None:
            with unfinished.open("wb") as file:
                np.save(file, array)

        write_whole(path, write)
    return np.load(path, mmap_mode="r" if path.stem.endswith("-crops") else None)
