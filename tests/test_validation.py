"""What validation measures, against the exported checkpoint's own scores."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from descscore import DescriptionScore
from descscore.checkpoints.attach import Clip, load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import RecipeError
from descscore.towers.clip import embed_texts, pad
from descscore_training.export import export_checkpoint
from descscore_training.finetune_recipe import Kept, Objective, TransferSource
from descscore_training.pairs.bank import load_banks
from descscore_training.pairs.sources import PairSource, load_pairs
from descscore_training.step import Step
from descscore_training.trainer import train
from descscore_training.validation import TransferTask, preference, validate
from tests.plain_interchange import interchange_by_hooks
from tests.training_made import COLOURS, made_data, made_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tiny_clip: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learns the preference, exported beside itself."""
    run = tmp_path_factory.mktemp("run")
    recipe = made_recipe(
        tiny_clip,
        objective={"kind": "joint"},
        optimiser={"lr": 2e-2},
        duration={"epochs": 8, "evaluate_every": 16},
    )
    train(recipe, data, run, device="cpu", progress=False)
    export_checkpoint(run, run / "checkpoint", name="made", data=data, device="cpu")
    return run


@pytest.fixture(scope="module")
def logged(trained: Path) -> dict[str, Any]:
    """What was logged of the step that was kept."""
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    config = json.loads((trained / "checkpoint" / "descscore_config.json").read_text())
    step = config["measured"]["validation"]["step"]
    [record] = [r for r in lines if r["kind"] == "validation" and r["step"] == step]
    return record


@pytest.fixture(scope="module")
def metric(trained: Path) -> DescriptionScore:
    return DescriptionScore(trained / "checkpoint", scale="cosine", dtype="float32", device="cpu")


def validation_rows(data: Path) -> list[dict[str, str]]:
    with (data / "pairs.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "val"]


def scores(metric: DescriptionScore, data: Path, column: str) -> np.ndarray:
    """Every validation image with every text of a column."""
    rows = validation_rows(data)
    images = [data / "images" / row["image"] for row in rows]
    return metric(images, [row[column] for row in rows], pairwise=True).scores


def test_preference_is_the_share_of_higher_descriptions(
    logged: dict[str, Any], metric: DescriptionScore, data: Path
):
    higher = [
        scores(metric, data, "description")[i, i] > scores(metric, data, "caption")[i, i]
        for i in range(8)
    ]
    assert logged["preference"] == sum(higher) / 8
    assert logged["preference"] > 0.5  # or nothing was learnt, and any mix-up might agree


def test_relevance_is_how_often_the_own_text_wins(
    logged: dict[str, Any], metric: DescriptionScore, data: Path
):
    wins = []
    for column in ("caption", "description"):
        matrix = scores(metric, data, column)
        wins += [
            matrix[image, other] < matrix[image, image]
            for image in range(8)
            for other in range(8)
            if other != image
        ]
    assert logged["relevance"] == pytest.approx(sum(wins) / len(wins))


def test_transfer_is_the_macro_f1_with_the_papers_prompt(
    logged: dict[str, Any], metric: DescriptionScore, data: Path
):
    labels = sorted(COLOURS)
    images = [data / "classes" / label / f"{i}.png" for label in labels for i in range(4)]
    prompts = [f"An image of {label}" for label in labels]
    found = metric(images, prompts, pairwise=True).scores.argmax(1)
    truth = np.repeat(range(4), 4)
    assert logged["f1"]["classes"] == pytest.approx(f1_score(truth, found, average="macro"))


def test_raised_and_lowered_are_shares_of_plain_interchanges(
    logged: dict[str, Any], metric: DescriptionScore, trained: Path, data: Path
):
    checkpoint = resolve_checkpoint(trained / "checkpoint")
    clip = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    assert clip.purpose is not None

    def tokens(column: str) -> tuple[torch.Tensor, torch.Tensor]:
        ids = [text.ids for text in clip.texts([row[column] for row in validation_rows(data)])]
        return pad(ids, torch.device("cpu")), torch.tensor([len(part) - 1 for part in ids])

    captions, descriptions = tokens("caption"), tokens("description")
    site, basis = clip.purpose.site, clip.purpose.basis
    batch = banks(data, clip)[1].batch([(0, row) for row in range(8)], np.random.default_rng(0))
    with torch.no_grad():
        raised = interchange_by_hooks(clip.model, captions, descriptions, basis, site)
        lowered = interchange_by_hooks(clip.model, descriptions, captions, basis, site)
    before = {name: scores(metric, data, name).diagonal() for name in ("caption", "description")}
    raised, lowered = ((batch.images * texts).sum(1).numpy() for texts in (raised, lowered))
    assert logged["raised"] == (raised > before["caption"]).mean()
    assert logged["lowered"] == (lowered < before["description"]).mean()


def banks(data: Path, clip: Clip, *sources: dict[str, Any]) -> Any:
    made = sources or ({"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 3},)
    pairs = load_pairs([PairSource(**source) for source in made], data)
    return load_banks(
        pairs,
        clip,
        keep="embeddings",
        cache=data / "no.npy",
        progress=False,
    )


@pytest.fixture(scope="module")
def clip(tiny_clip: Path) -> Clip:
    checkpoint = resolve_checkpoint(tiny_clip)
    return load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))


def behavioral(clip: Clip) -> Step:
    return Step(clip.model, Objective(kind="behavioral"), seed=0, texts_together=9)


def test_without_images_the_base_embedding_of_the_other_text_stands_for_the_image(
    data: Path, tiny_clip: Path
):
    table = (data / "pairs.csv").read_text().splitlines()
    kept = [line for line in table if line.endswith(("split", "train"))]
    (data / "training.csv").write_text("\n".join(kept))
    source = {"name": "pairs", "path": "training.csv", "images": "images", "batch": 3}
    bare = {"name": "bare", "path": "texts.csv", "batch": 2, "image_free": "random"}
    checkpoint = resolve_checkpoint(tiny_clip)
    tuned = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    _, validation, *_ = banks(data, tuned, source, bare)
    assert validation.sizes == [4]
    columns = ("caption", "description")
    with (data / "texts.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]

    def embedded(column: str) -> torch.Tensor:
        ids = [tuned.texts([row[column]])[0].ids for row in rows]
        with torch.no_grad():
            return torch.cat([embed_texts(tuned.model, torch.tensor([part])) for part in ids])

    before = {column: embedded(column) for column in columns}
    with torch.no_grad():
        noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
        tuned.model.text_projection.weight.add_(0.2 * noise)
    wins = []
    for own, other in (columns, columns[::-1]):
        similarity = before[other] @ embedded(own).T
        wins += [
            bool(similarity[i, j] < similarity[i, i]) for i in range(4) for j in range(4) if i != j
        ]
    found = validate(behavioral(tuned), validation, [], seed=0)
    assert found["relevance"] == pytest.approx(sum(wins) / 24)
    assert "raised" not in found
    assert "lowered" not in found


def test_a_single_pair_has_no_relevance(data: Path, clip: Clip):
    lines = (data / "pairs.csv").read_text().splitlines()
    training = [line for line in lines if line.endswith("train")]
    validation = [line for line in lines if line.endswith("val")]
    (data / "single.csv").write_text("\n".join([lines[0], *training, validation[0]]))
    source = {"name": "pairs", "path": "single.csv", "images": "images", "batch": 3}
    found = validate(behavioral(clip), banks(data, clip, source)[1], [], seed=0)
    assert found["relevance"] is None
    json.dumps(found, allow_nan=False)


def test_validation_does_not_depend_on_what_ran_before_it(data: Path, clip: Clip):
    source = {"name": "pairs", "path": "pairs.csv", "images": "images", "batch": 3}
    bare = {"name": "bare", "path": "texts.csv", "batch": 2, "image_free": "random"}
    _, validation, *_ = banks(data, clip, source, bare)
    torch.manual_seed(1)
    first = validate(behavioral(clip), validation, [], seed=0)
    torch.manual_seed(2)
    assert validate(behavioral(clip), validation, [], seed=0) == first


def test_more_pairs_than_fit_together_are_measured_as_one(
    data: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
):
    _, validation, *_ = banks(data, clip)
    whole = validate(behavioral(clip), validation, [], seed=0)
    monkeypatch.setattr("descscore_training.validation._PAIRS_TOGETHER", 3)
    assert validate(behavioral(clip), validation, [], seed=0) == whole


def task_of(
    data: Path, clip: Clip, *, keep: Kept = "embeddings", held_out: int = 0
) -> TransferTask:
    source = TransferSource(name="classes", path="classes", held_out=held_out)
    task = TransferTask(source, data)
    task.load(clip, keep=keep, cache=data / "pixels.npy")
    return task


def test_a_transfer_task_can_take_a_part_of_its_images(data: Path, clip: Clip):
    whole = task_of(data, clip)
    part = task_of(data, clip, keep="pixels", held_out=6)
    assert (len(whole.truth), len(part.truth)) == (16, 6)
    assert whole.prompts == [f"An image of {label}" for label in sorted(COLOURS)]
    assert len(part.images.content) == 6


def test_an_image_can_be_taken_for_a_class_without_a_held_out_image(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
):
    data = made_data(tmp_path)
    (data / "classes" / "empty").mkdir()
    part = task_of(data, clip, held_out=1)
    labels = sorted([*COLOURS, "empty"])
    assert part.prompts == [f"An image of {label}" for label in labels]
    # The image is taken for the class whose text stands in its place, which is nearest to itself.
    texts = [text.ids for text in clip.texts(part.prompts)]
    with torch.no_grad():
        embedded = torch.cat([embed_texts(clip.model, torch.tensor([ids])) for ids in texts])
    for place in range(len(labels)):
        shown = replace(part.images, content=embedded[[place]])
        monkeypatch.setattr(part, "images", shown)
        assert part.f1() == (place == part.truth[0])


@pytest.mark.parametrize("change", ["image", "class", "empty class", "task"])
def test_the_digest_tells_what_is_classified_and_into_what(tmp_path: Path, change: str):
    data = made_data(tmp_path)
    folder = data / "classes"

    def digest(name: str = "classes") -> str:
        return TransferTask(TransferSource(name=name, path="classes"), data).digest

    before = digest()
    assert digest() == before
    if change == "image":
        (folder / "red" / "0.png").unlink()
    elif change == "class":
        (folder / "red").rename(folder / "crimson")
    elif change == "empty class":
        (folder / "pink").mkdir()
    assert digest("colours" if change == "task" else "classes") != before


def test_a_frozen_towers_images_are_embedded_once(
    data: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
):
    kinds: tuple[Kept, ...] = ("embeddings", "features", "pixels")
    frozen, features, trained = (task_of(data, clip, keep=kind) for kind in kinds)
    assert frozen.f1() == features.f1() == trained.f1()

    def refuse(*_: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr("descscore_training.validation.embed_images", refuse)
    monkeypatch.setattr("descscore_training.pairs.bank.image_features", refuse)
    frozen.f1()
    features.f1()
    with pytest.raises(AssertionError, match="embedded again"):
        trained.f1()


def test_images_of_a_transfer_task_are_decoded_once_for_runs_that_share_pixels(
    tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
):
    data = made_data(tmp_path)
    first = task_of(data, clip, keep="pixels")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("descscore_training.pairs.pixels.decoded", refuse)
    assert task_of(data, clip, keep="pixels").f1() == first.f1()


def test_an_image_of_a_transfer_task_that_cannot_be_read_is_named(tmp_path: Path, clip: Clip):
    data = made_data(tmp_path)
    (data / "classes" / "red" / "0.png").write_bytes(b"no image")
    with pytest.raises(RecipeError, match=r"'classes': the image .*0\.png is not in an image"):
        task_of(data, clip)


def test_a_missing_transfer_task_says_how_to_do_without(data: Path):
    source = TransferSource(name="birds", path="birds")
    with pytest.raises(RecipeError, match=r"transfer 'birds': there is no .*set transfer = \[\]"):
        TransferTask(source, data)


def test_scores_that_are_no_numbers_are_refused(data: Path, tiny_clip: Path):
    checkpoint = resolve_checkpoint(tiny_clip)
    broken = load_clip(checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    task = task_of(data, broken)
    validation = banks(data, broken)[1]
    with torch.no_grad():
        broken.model.text_projection.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="scores of transfer 'classes' are not finite"):
        task.f1()
    with pytest.raises(FloatingPointError, match="scores of validation pairs are not finite"):
        validate(behavioral(broken), validation, [], seed=0)


def test_watched_pairs_are_compared_without_interchanges(
    data: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch
):
    objective = Objective(kind="iit-das", layer=1, dimension=4)
    step = Step(clip.model, objective, seed=0, texts_together=9)
    validation = banks(data, clip)[1]
    expected = validate(step, validation, [], seed=0)["preference"]

    def refuse(*_: object) -> None:
        raise AssertionError("an interchange")

    monkeypatch.setattr("descscore_training.step.run_on", refuse)
    assert preference(step, validation) == expected


def test_interchanges_that_are_no_numbers_are_refused(data: Path, clip: Clip):
    step = Step(
        clip.model,
        Objective(kind="iit-das", layer=1, dimension=4),
        seed=0,
        texts_together=9,
    )
    validation = banks(data, clip)[1]
    assert step.learned is not None
    with torch.no_grad():
        for parameter in step.learned.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="scores of validation pairs are not finite"):
        validate(step, validation, [], seed=0)
