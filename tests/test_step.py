"""One training step: its logits, what it runs, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F

from descscore.errors import RecipeError
from descscore.purpose.subspace import orthonormality_error
from descscore.towers.clip import embed_images, embed_texts, image_features, pad, project_images
from descscore_training.finetune_recipe import Objective
from descscore_training.step import AnchorBatch, Batch, Step
from tests.plain_interchange import interchange_by_hooks

if TYPE_CHECKING:
    from transformers import CLIPModel

PAIRS = 3


def clip(folder: Path) -> CLIPModel:
    from transformers import CLIPModel

    model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def objective(kind: str = "iit-das", **values: Any) -> Objective:
    return Objective(**{"kind": kind, "layer": 1, "dimension": 6} | values)


def text(seed: int, length: int, end: int) -> list[int]:
    random = torch.Generator().manual_seed(seed)
    return [end - 1, *torch.randint(5, end - 2, (length - 2,), generator=random).tolist(), end]


def batch(model: CLIPModel, *, pixels: bool = True) -> Batch:
    """Pairs whose texts all differ in length."""
    text_config: Any = model.config.text_config
    end = text_config.eos_token_id
    random = torch.Generator().manual_seed(0)
    images = torch.randn(PAIRS, 3, 32, 32, generator=random)
    if not pixels:
        with torch.no_grad():
            images = embed_images(model, images)
    return Batch(
        captions=[text(i, length, end) for i, length in enumerate((9, 4, 12))],
        descriptions=[text(i + 10, length, end) for i, length in enumerate((5, 14, 7))],
        images=images,
        own_image=torch.tensor([True, False, True]),
    )


def padded(texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    return pad(texts, torch.device("cpu")), torch.tensor([len(ids) - 1 for ids in texts])


def plain_logits(step: Step, pairs: Batch) -> list[torch.Tensor]:
    """Caption, description, caption from description and the reverse, a run of its own each."""
    model, basis = step.model, step.basis()
    assert basis is not None
    captions, descriptions = padded(pairs.captions), padded(pairs.descriptions)
    from_descriptions, from_captions = descriptions, captions
    if step.objective.sources == "cross":
        from_descriptions = padded([*pairs.descriptions[1:], pairs.descriptions[0]])
        from_captions = padded([*pairs.captions[1:], pairs.captions[0]])
    texts = [
        embed_texts(model, captions[0]),
        embed_texts(model, descriptions[0]),
        interchange_by_hooks(model, captions, from_descriptions, basis, step.site),
        interchange_by_hooks(model, descriptions, from_captions, basis, step.site),
    ]
    scale = model.logit_scale.exp()
    return [scale * (embed_images(model, pairs.images) * part).sum(1) for part in texts]


@pytest.mark.parametrize("texts_together", [1, 2, 4, 100])
@pytest.mark.parametrize("sources", ["paired", "cross"])
def test_logits_are_those_of_plain_interchanges(tiny_clip: Path, sources: str, texts_together: int):
    model = clip(tiny_clip)
    step = Step(model, objective(sources=sources), seed=3, texts_together=texts_together)
    pairs = batch(model)
    with torch.no_grad():
        found = step.outputs(pairs)
        expected = plain_logits(step, pairs)
    assert found.interchanged is not None
    logits = [found.caption, found.description, *found.interchanged]
    for ours, plain in zip(logits, expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-4, rtol=0)
    # The four must differ, or mixing them up would not show.
    assert len({tuple(part.round(decimals=2).tolist()) for part in expected}) == 4
    texts = [padded(part)[0] for part in (pairs.captions, pairs.descriptions)]
    with torch.no_grad():
        plain = [embed_images(model, pairs.images), *(embed_texts(model, ids) for ids in texts)]
    embeddings = (found.images, found.captions, found.descriptions)
    for ours, one in zip(embeddings, plain, strict=True):
        torch.testing.assert_close(ours, one, atol=1e-5, rtol=0)


def test_sources_of_paired_and_cross_differ(tiny_clip: Path):
    model = clip(tiny_clip)
    with torch.no_grad():
        paired, cross = (
            Step(model, objective(sources=sources), seed=0, texts_together=9)
            .outputs(batch(model))
            .interchanged
            for sources in ("paired", "cross")
        )
    assert paired is not None
    assert cross is not None
    assert (paired[0] - cross[0]).abs().min() > 1e-3


def test_iit_uses_the_first_unit_vectors_and_learns_none(tiny_clip: Path):
    step = Step(clip(tiny_clip), objective("iit"), seed=0, texts_together=9)
    basis = step.basis()
    assert basis is not None
    assert torch.equal(basis, torch.eye(32)[:, :6])
    assert {name.split(".")[0] for name, _ in step.named_parameters()} == {"model"}


@pytest.mark.parametrize("kind", ["iit-das", "joint"])
def test_others_start_from_a_random_basis_of_their_seed(tiny_clip: Path, kind: str):
    model = clip(tiny_clip)
    one, same, other = (
        Step(model, objective(kind), seed=seed, texts_together=9).basis() for seed in (1, 1, 2)
    )
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.shape == (32, 6)
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 0.1


class Calls:
    """Counts texts and images that enter the towers, and blocks of the text tower that run."""

    def __init__(self, model: CLIPModel) -> None:
        self.texts, self.images, self.positions = 0, 0, []
        model.text_model.register_forward_hook(self.count_texts, with_kwargs=True)
        model.vision_model.register_forward_hook(self.count_images, with_kwargs=True)
        # The MLP of the block after the site: the whole text's, then the end token's alone.
        mlp = model.get_submodule("text_model.encoder.layers.1.mlp")
        mlp.register_forward_hook(self.count_positions)

    def count_texts(self, _module: Any, args: Any, kwargs: Any, _output: Any) -> None:
        self.texts += len((*args, kwargs.get("input_ids"))[0])

    def count_images(self, _module: Any, args: Any, kwargs: Any, _output: Any) -> None:
        self.images += len((*args, kwargs.get("pixel_values"))[0])

    def count_positions(self, _module: Any, args: Any, _output: Any) -> None:
        self.positions.append(args[0].shape[:-1].numel() // len(args[0]))


@pytest.mark.parametrize("kind", ["behavioral", "iit-das", "iit", "joint"])
def test_each_text_and_each_image_runs_once(tiny_clip: Path, kind: str):
    model = clip(tiny_clip)
    step = Step(model, objective(kind, relevance_weight=0.5), seed=0, texts_together=2 * PAIRS)
    calls = Calls(model)
    step(batch(model))
    assert calls.texts == 2 * PAIRS
    assert calls.images == PAIRS
    assert calls.positions == ([14] if kind == "behavioral" else [14, 1])


def test_embedded_images_do_not_run_again(tiny_clip: Path):
    model = clip(tiny_clip)
    pairs, pixels = batch(model, pixels=False), batch(model)
    step = Step(model, objective("joint"), seed=0, texts_together=9)
    calls = Calls(model)
    with torch.no_grad():
        losses = step(pairs)
        assert calls.images == 0
        expected = step(pixels)
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], loss)


def test_features_train_the_projection_of_images(tiny_clip: Path):
    model = clip(tiny_clip)
    pixels = batch(model)
    with torch.no_grad():
        features = image_features(model, pixels.images)
    whole = Step(model, objective("joint"), seed=0, texts_together=9)
    kept = Step(model, objective("joint"), seed=0, texts_together=9, features=True)
    model.visual_projection.requires_grad_(True)
    gradients = []
    for step, pairs in ((whole, pixels), (kept, replace(pixels, images=features))):
        model.zero_grad()
        step(pairs)["loss"].backward()
        assert model.visual_projection.weight.grad is not None
        gradients.append(model.visual_projection.weight.grad.clone())
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    assert gradients[0].abs().max() > 1e-3


def test_behavioral_keeps_no_keys_and_has_no_basis(tiny_clip: Path):
    model = clip(tiny_clip)
    step = Step(model, objective("behavioral"), seed=0, texts_together=9)
    assert step.basis() is None
    assert step.outputs(batch(model)).interchanged is None
    runs, _ = step._run([*batch(model).captions], keep=step.objective.intervenes)
    assert [run.keys for run in runs] == [()]
    losses = step(batch(model))
    assert losses.keys() == {"loss", "behavioral"}


def test_behavioral_takes_no_notice_of_the_layer(tiny_clip: Path):
    model = clip(tiny_clip)
    losses = [
        Step(model, Objective(kind="behavioral", layer=layer), seed=0, texts_together=9)(
            batch(model)
        )
        for layer in (1, 10)
    ]
    assert losses[0]["loss"].item() == losses[1]["loss"].item()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"layer": 3}, r"objective\.layer is 3; give one from 1 to 2, .* of 2 blocks"),
        ({"dimension": 32}, r"objective\.dimension is 32; give one from 1 to 31, .* width 32"),
        ({"kind": "iit", "dimension": 32}, r"objective\.dimension is 32; give one from 1 to 31"),
    ],
)
def test_a_site_that_the_model_lacks_is_refused(
    tiny_clip: Path, values: dict[str, Any], message: str
):
    with pytest.raises(RecipeError, match=message):
        Step(clip(tiny_clip), objective(**values), seed=0, texts_together=9)


def nats(higher: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    return F.softplus(lower - higher).mean()


@pytest.mark.parametrize("kind", ["behavioral", "iit-das", "iit", "joint"])
def test_gradients_are_those_of_one_run_per_term(tiny_clip: Path, kind: str):
    model = clip(tiny_clip)
    step = Step(model, objective(kind, alpha=0.3), seed=0, texts_together=4)
    pairs = batch(model)
    step(pairs)["loss"].backward()
    found = {name: p.grad for name, p in step.named_parameters()}
    step.zero_grad()
    if kind == "behavioral":
        scale, images = model.logit_scale.exp(), embed_images(model, pairs.images)
        caption, description = (
            scale * (images * embed_texts(model, padded(texts)[0])).sum(1)
            for texts in (pairs.captions, pairs.descriptions)
        )
        nats(description, caption).backward()
    else:
        caption, description, raised, lowered = plain_logits(step, pairs)
        loss = (nats(raised, caption) + nats(description, lowered)) / 2
        if kind == "joint":
            loss = 0.3 * loss + 0.7 * nats(description, caption)
        loss.backward()
    compared = 0
    for name, parameter in step.named_parameters():
        gradient = parameter.grad
        assert (gradient is None) == (found[name] is None), name
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4, msg=name)
            compared += gradient.abs().max().item() > 1e-4
    assert compared > 50


def test_the_loss_adds_the_weighted_relevance(tiny_clip: Path):
    model = clip(tiny_clip)
    with torch.no_grad():
        losses = Step(model, objective("joint", relevance_weight=0.25), seed=0, texts_together=9)(
            batch(model)
        )
    terms = 0.5 * losses["iit"] + 0.5 * losses["behavioral"] + 0.25 * losses["relevance"]
    assert losses["loss"].item() == pytest.approx(terms.item())
    assert losses["relevance"] > 0.1


def test_without_images_the_drift_of_both_texts_counts_as_relevance(tiny_clip: Path):
    model, base = clip(tiny_clip), clip(tiny_clip)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.text_projection.weight.add_(0.1 * torch.randn(32, 32, generator=random))
    probes = F.normalize(torch.randn(4, 32, generator=random), dim=1)
    pairs = replace(batch(model, pixels=False), own_image=torch.tensor([True, False, False]))
    relevance = objective("joint", relevance_weight=0.5)
    step = Step(model, relevance, seed=0, texts_together=9, base=base)
    with torch.no_grad():
        expected, found = step(pairs)["relevance"], step(replace(pairs, probes=probes))
        scale = model.logit_scale.exp()
        for side in (pairs.captions, pairs.descriptions):
            now, before = (
                (scale * probes @ embed_texts(of, padded(side[1:])[0]).T).softmax(1)
                for of in (model, base)
            )
            expected = expected + (before * (before / now).log()).sum(1).mean() / 2
    assert found["relevance"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert found["relevance"].item() > step(pairs)["relevance"].item() + 0.01
    terms = found["iit"] + found["behavioral"] + found["relevance"]
    assert found["loss"].item() == pytest.approx(terms.item() / 2, rel=1e-5)


def test_anchors_may_not_drift_in_the_eyes_of_images_that_move(tiny_clip: Path):
    model, base = clip(tiny_clip), clip(tiny_clip)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in (model.text_projection.weight, model.visual_projection.weight):
            weight.add_(0.1 * torch.randn(32, 32, generator=random))
        features = image_features(model, torch.randn(4, 3, 32, 32, generator=random))
    end: Any = model.config.text_config.eos_token_id  # pyright: ignore[reportAttributeAccessIssue]
    anchors = [text(20 + i, length, end) for i, length in enumerate((5, 8, 6, 7))]
    pairs = batch(model)
    pairs = replace(
        pairs, images=image_features(model, pairs.images), own_image=torch.ones(PAIRS).bool()
    )
    # Once as labels, in the eyes of the probes, and once with photos of their own.
    own = image_features(model, torch.randn(4, 3, 32, 32, generator=random)).detach()
    kinds = [AnchorBatch(texts=anchors, images=seen) for seen in (None, own)]
    with_anchors = replace(pairs, probes=features, anchors=kinds)
    step = Step(
        model,
        objective("joint", relevance_weight=1.0),
        seed=0,
        texts_together=9,
        features=True,
        base=base,
    )
    with torch.no_grad():
        without = step(replace(pairs, probes=features))["relevance"].item()
        found = step(with_anchors)["relevance"].item()
        scale = model.logit_scale.exp()
        drifted = 0.0
        for seen in (features, own):
            logits = (
                scale * project_images(of, seen) @ embed_texts(of, padded(anchors)[0]).T
                for of in (model, base)
            )
            now, before = (values.softmax(1) for values in logits)
            moved = (before * (before / now).log()).sum(1).mean().item()
            assert moved > 0.01
            drifted += moved
    assert found - without == pytest.approx(drifted, rel=1e-3)
    gradient = torch.autograd.grad(
        step(with_anchors)["relevance"], model.text_projection.requires_grad_(True).weight
    )
    assert gradient[0].abs().max() > 0


def test_the_base_is_no_part_of_what_is_trained_or_saved(tiny_clip: Path):
    model, base = clip(tiny_clip), clip(tiny_clip)
    step = Step(model, objective(), seed=0, texts_together=9, base=base)
    own = {id(parameter) for parameter in base.parameters()}
    assert not any(id(parameter) in own for parameter in step.parameters())
    assert len([name for name in step.state_dict() if name.endswith("logit_scale")]) == 1


def test_under_autocast_the_basis_stays_orthonormal_in_float32(tiny_clip: Path):
    model = clip(tiny_clip)
    step = Step(model, objective("joint", relevance_weight=1.0), seed=0, texts_together=9)
    plain = step(batch(model))
    with torch.autocast("cpu", torch.bfloat16):
        basis = step.basis()
        losses = step(batch(model))
    losses["loss"].backward()
    assert basis is not None
    assert basis.dtype == torch.float32
    assert orthonormality_error(basis) < 1e-6
    for name, loss in plain.items():
        assert losses[name].dtype == torch.float32
        assert losses[name].item() == pytest.approx(loss.item(), rel=0.1)
