"""What a study measures of a checkpoint, each kept in a file so that nothing is measured twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from descscore.checkpoints.files import file_digest
from descscore.checkpoints.store import resolve_checkpoint
from descscore.datasets.described_images import read_described_images
from descscore.datasets.kreiss2022 import read_kreiss2022
from descscore.datasets.labelled_images import read_labelled_images
from descscore.errors import ImageError
from descscore.evaluate.human import human_ratings, score_items
from descscore.inputs.decode import default_workers
from descscore.metric import DescriptionScore
from descscore.metric_options import CLIPSCORE_PREFIX
from descscore.results import Embeddings
from descscore.writing import write_json
from descscore_training.measure import measure_preference, measure_transfer
from descscore_training.pairs.pixels import open_pixels, pixels_beside
from descscore_training.pairs.sources import digest_of
from descscore_training.study.word_norms import explain_example, measure_norms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from jaxtyping import Float

    from descscore.checkpoints.store import Checkpoint
    from descscore.inputs.items import ImageInput
    from descscore.inputs.transform import ImageTransform
    from descscore_training.study.study import ConcadiaPart, NormsPart, Study, TransferPart
    from descscore_training.study.word_norms import Lens


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Measures checkpoints of a study.

    Attributes:
        study: what is measured.
        data: the data folder.
        pixels: the file for decoded images of training; those of tests are beside it.
        device: "auto" or a PyTorch device.
        embedded: by vision tower, the embeddings of images that several checkpoints share.
    """

    study: Study
    data: Path
    pixels: Path
    device: str = "auto"
    embedded: dict[str, dict[bytes, Float[np.ndarray, " width"]]] = field(default_factory=dict)

    def evaluate(
        self,
        name: str | Path,
        folder: Path,
        *,
        revision: str | None = None,
        own_images: bool = True,
        tuned: bool = True,
        lenses: Sequence[Lens] = (),
        making: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> dict[str, Any]:
        """All evaluations of a checkpoint, from its folder or made now.

        Args:
            name: of the checkpoint: a folder, a Hub id or a shipped name.
            folder: where the results are kept, one JSON file each.
            revision: its commit on the Hub.
            own_images: whether its vision tower is its own rather than its base's.
            tuned: whether it is no plain base, whose ratings are measured with and without prefix.
            lenses: subspaces to read its attributions through, too.
            making: what each evaluation that is made now is made in, by its name.

        Raises:
            TableError, InputError: data are not what the study says.
            CheckpointError: the checkpoint cannot be loaded.
        """
        checkpoint = resolve_checkpoint(name, revision=revision)
        models = _Models(checkpoint, self, own_images=own_images)
        results: dict[str, Any] = {}
        for part in self._parts(models, tuned=tuned, lenses=lenses):
            key = self._key(checkpoint, part)
            path = folder / f"{re.sub('[ /]', '-', part.name)}.json"
            result = _kept(path, key)
            if result is None:
                with making(part.name):
                    result = part.make()
                    folder.mkdir(parents=True, exist_ok=True)
                    write_json(path, {"name": part.name, "key": key, "result": result})
            results[part.name] = result
        return results

    def _parts(self, models: _Models, *, tuned: bool, lenses: Sequence[Lens]) -> Iterator[_Part]:
        """The study's evaluations in the order in which they are made."""
        study = self.study
        concadia, human, norms = study.concadia, study.human, study.norms
        if concadia is not None:
            settings = [concadia.split, study.prefix]
            make = partial(models.preference, concadia)
            yield _Part("concadia", settings, [concadia.path], make)
        for task in study.transfer:
            make = partial(models.transfer, task)
            yield _Part(f"transfer {task.name}", task.under, [task.path], make)
        if human is not None:
            # The paper's row of the base is of scores with CLIPScore's prefix.
            other = "" if study.prefix else CLIPSCORE_PREFIX
            prefixes = {"human": study.prefix} | ({} if tuned else {"human with prefix": other})
            for name, prefix in prefixes.items():
                make = partial(models.human, prefix, self.data / human.path)
                yield _Part(name, prefix, [human.path], make)
        if norms is not None and concadia is not None:
            settings = [norms.sample, norms.count, concadia.split]
            paths = [norms.concreteness, norms.imageability, concadia.path]
            make = partial(models.norms, norms, concadia)
            yield _Part("norms", [*settings, study.prefix], paths, make)
            make = partial(models.example, concadia)
            yield _Part("example", [concadia.split, study.prefix], [concadia.path], make)
            for lens in lenses:
                make = partial(models.norms, norms, concadia, lens)
                yield _Part(f"norms {lens.name}", [*settings, lens.identity], paths, make)

    def _key(self, checkpoint: Checkpoint, part: _Part) -> str:
        """All that a result depends on."""
        base = checkpoint.base
        return digest_of(
            [
                checkpoint.identity.rpartition("@")[2],
                None if base is None else base.identity.rpartition("@")[2],
                part.settings,
                [fingerprint(self.data / path) for path in part.paths],
                version("descscore"),
            ]
        )


class _Part(NamedTuple):
    """One evaluation: its name, what it depends on in the study, its data, and how it is made."""

    name: str
    settings: object
    paths: Sequence[str]
    make: Callable[[], Any]


class _Models:
    """A checkpoint's models, loaded when they are first needed."""

    def __init__(self, checkpoint: Checkpoint, of: Evaluator, *, own_images: bool) -> None:
        self._checkpoint = checkpoint
        self._of = of
        self._own_images = own_images
        self._metrics: dict[tuple[str, ...], DescriptionScore] = {}
        self._transform: ImageTransform | None = None

    def preference(self, part: ConcadiaPart) -> dict[str, Any]:
        """On the images of a part of Concadia."""
        folder = self._of.data / part.path
        examples = read_described_images(folder, split=part.split or None).examples
        paths = [Path(str(example.image)) for example in examples]
        metric, crops = self._for_crops(self._of.study.prefix, part.name, paths)
        cropped = []
        for example, crop in zip(examples, crops, strict=True):
            if isinstance(crop, ImageError):
                raise ImageError(f"image {example.id!r} {crop}")
            cropped.append(replace(example, image=crop))
        return measure_preference(metric, cropped)

    def transfer(self, task: TransferPart) -> dict[str, Any]:
        """On class folders, with the embeddings of images that another checkpoint has made."""
        path = self._of.data / task.path
        images = read_labelled_images(path, under=task.under)
        metric, crops = self._for_crops("", task.name, [path / name for name in images.names])
        base = self._checkpoint.base
        tower = self._checkpoint if base is None else None if self._own_images else base
        if tower is not None:
            kept = self._of.embedded.setdefault(tower.identity, {})
            metric = cast("DescriptionScore", _SharedImages(metric, kept))
        return measure_transfer(metric, replace(images, read=lambda: iter(crops)))

    def human(self, prefix: str, folder: Path) -> dict[str, Any]:
        """Correlations with the ratings of Kreiss et al. (2022)."""
        return measure_human(self._load(prefix, on_error="record"), folder)

    def norms(
        self, norms: NormsPart, concadia: ConcadiaPart, lens: Lens | None = None
    ) -> dict[str, Any]:
        """Correlations of attributions with norms of words."""
        metric = self._load(self._of.study.prefix, on_error="record")
        return measure_norms(metric, norms, concadia, self._of.data, lens)

    def example(self, concadia: ConcadiaPart) -> list[dict[str, Any]]:
        """The attributions of one image's two texts."""
        metric = self._load(self._of.study.prefix, on_error="record")
        return explain_example(metric, concadia, self._of.data)

    def _for_crops(
        self, prefix: str, name: str, paths: Sequence[Path]
    ) -> tuple[DescriptionScore, list[ImageInput | ImageError]]:
        """A metric on the scale that clamps nothing, which takes images as they are, cropped.

        And the cropped images, which all checkpoints share, or why they cannot be read.
        """
        metric = self._load(prefix, scale="cosine")
        encoder = metric._pipeline.encoder
        if self._transform is None:
            self._transform = encoder.transform
        found = open_pixels(
            paths,
            self._transform,
            pixels_beside(self._of.pixels, f"test {name}"),
            workers=default_workers(),
            progress=False,
        )
        encoder.transform = replace(self._transform, resize=None)
        crops: list[ImageInput | ImageError] = list(np.asarray(found.images))
        for row, why in found.failed.items():
            crops[row] = ImageError(why)
        return metric, crops

    def _load(self, prefix: str, **options: Any) -> DescriptionScore:
        key = prefix, *options
        if key not in self._metrics:
            self._metrics[key] = DescriptionScore(
                self._checkpoint.name,
                revision=self._checkpoint.revision,
                device=self._of.device,
                dtype="float32",
                batch_size=256,
                prefix=prefix,
                **options,
            )
        return self._metrics[key]


class _SharedImages:
    """A metric whose images are embedded once for all checkpoints with the same vision tower."""

    def __init__(self, metric: DescriptionScore, kept: dict[bytes, Float[np.ndarray, " width"]]):
        self._metric = metric
        self._kept = kept
        self.on_error = metric.on_error
        self.signature = metric.signature
        self.embed_texts = metric.embed_texts

    def embed_images(self, images: Sequence[Any]) -> Embeddings:
        """As the metric does, at the first image that cannot be read it raises."""
        keys = [blake2b(image, digest_size=16).digest() for image in images]
        new = [place for place, key in enumerate(keys) if key not in self._kept]
        if new:
            found = self._metric.embed_images([images[place] for place in new])
            self._kept.update(zip([keys[place] for place in new], found.values, strict=True))
        values = np.stack([self._kept[key] for key in keys])
        return Embeddings(values=values, errors=(None,) * len(images))


def measure_human(metric: DescriptionScore, folder: Path) -> dict[str, Any]:
    """Correlations of scores with ratings, by group and question (Kreiss et al. 2022).

    Raises:
        TableError: the folder is not that study's.
    """
    study = read_kreiss2022(folder)
    others = score_items(metric, study.items)
    found = human_ratings(
        others.pop("score"),
        study.ratings,
        texts=study.items.texts,
        others=others,
        clusters=study.items.image_names,
    )
    return {
        "items": found.items,
        "prefix": metric.prefix,
        "questions": [asdict(question) for question in found.questions],
    }


def _kept(path: Path, key: str) -> Any:
    """What was measured before, if it was of just this."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found["result"] if isinstance(found, dict) and found.get("key") == key else None


_WHOLE = 64 * 2**20


@cache
def fingerprint(path: Path) -> str:
    """SHA-256 of what a file or folder holds.

    A folder is its files' names and sizes, and the content of its tables (csv and json) up to 64
    MiB; a zip file its members' names and checksums. Asked for again it is not read again.
    """
    lines = _of_folder(path) if path.is_dir() else [_of_file(path)]
    total = hashlib.sha256()
    for line in lines:
        total.update(f"{line}\n".encode())
    return total.hexdigest()


def _of_folder(folder: Path) -> Iterator[str]:
    for name in sorted(_files(folder)):
        path = Path(name)
        table = path.suffix in {".csv", ".json"} and path.stat().st_size <= _WHOLE
        content = file_digest(path) if table else path.stat().st_size
        yield f"{path.relative_to(folder).as_posix()} {content}"


def _of_file(path: Path) -> str:
    if path.suffix == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = sorted((info.filename, info.CRC) for info in archive.infolist())
        return digest_of(members)
    return file_digest(path) if path.stat().st_size <= _WHOLE else str(path.stat().st_size)


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)
