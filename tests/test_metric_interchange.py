"""DescriptionScore.interchange is DII of whole texts, with the checkpoint's subspace or another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descscore import DescriptionScore
from descscore.checkpoints.attach import load_clip
from descscore.errors import InputError, OptionError, PairingError
from descscore.purpose.subspace import complement, random_basis
from descscore.towers.clip import pad
from tests.checkpoints_made import lora_checkpoint
from tests.plain_interchange import interchange_by_hooks

TEXTS = ["A dog sleeps.", "cat", "Two old clocks on the beach, in the rain!", "A red sofa."]
SOURCES = ["Rex in 2012.", "and so on, " * 40, "A dog.", "cat"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """A tiny CLIP with an adapter and a subspace of 5 dimensions after block 1."""
    return lora_checkpoint(tmp_path_factory.mktemp("adapted"), tiny_clip, rank=4, subspace=5)


@pytest.fixture(scope="module")
def metric(checkpoint: Path) -> DescriptionScore:
    return DescriptionScore(checkpoint)


@pytest.mark.parametrize("basis", ["own", "complement", "another"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_it_equals_interchanges_of_whole_texts_by_hooks(
    checkpoint: Path, basis: str, batch_size: int
) -> None:
    metric = DescriptionScore(checkpoint, batch_size=batch_size)
    purpose = metric.purpose_subspace
    assert purpose is not None
    bases = {
        "own": purpose.basis,
        "complement": complement(purpose.basis),
        "another": random_basis(32, 3, seed=1),
    }
    clip = load_clip(metric.checkpoint, dtype=torch.float32, device=torch.device("cpu"))
    sides: list[Any] = []
    for texts in (TEXTS, SOURCES):
        tokens = [text.ids for text in clip.texts(texts)]
        ends = torch.tensor([len(ids) - 1 for ids in tokens])
        sides.append((pad(tokens, torch.device("cpu")), ends))
    with torch.no_grad():
        expected = interchange_by_hooks(clip.model, *sides, bases[basis], purpose.site)
    chosen = {} if basis == "own" else {"basis": bases[basis]}
    found = metric.interchange(TEXTS, SOURCES, **chosen)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_basis_may_be_a_numpy_array(metric: DescriptionScore, dtype: type) -> None:
    expected = metric.interchange(TEXTS, SOURCES).values
    basis = metric.purpose_subspace.basis.numpy().astype(dtype)
    found = metric.interchange(TEXTS, SOURCES, basis=basis).values
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_plain_clip_takes_basis_and_layer(tiny_clip: Path, layer: int) -> None:
    plain = DescriptionScore(tiny_clip)
    # The whole stream at the end token: after the last block nothing else reaches the embedding.
    whole = plain.interchange(TEXTS, SOURCES, basis=np.eye(32), layer=layer).values
    sources = plain.embed_texts(SOURCES).values
    same = np.abs(whole - sources).max() < 1e-5
    assert same == (layer == 2)
    unchanged = plain.interchange(TEXTS, TEXTS, basis=np.eye(32)[:, :3], layer=layer).values
    np.testing.assert_allclose(unchanged, plain.embed_texts(TEXTS).values, atol=1e-6)


def test_a_text_that_is_its_own_source_stays_as_it_is(metric: DescriptionScore) -> None:
    found = metric.interchange(TEXTS, TEXTS).values
    np.testing.assert_allclose(found, metric.embed_texts(TEXTS).values, atol=1e-6)


def test_one_source_goes_with_all_texts(metric: DescriptionScore) -> None:
    found = metric.interchange(TEXTS, SOURCES[0]).values
    np.testing.assert_array_equal(found, metric.interchange(TEXTS, SOURCES[:1] * 4).values)
    np.testing.assert_allclose(
        found[1], metric.interchange(TEXTS[1], SOURCES[0]).values[0], atol=1e-6
    )


def test_what_does_not_fit_is_refused(metric: DescriptionScore, tiny_clip: Path) -> None:
    with pytest.raises(PairingError, match="4 texts and 2 sources"):
        metric.interchange(TEXTS, SOURCES[:2])
    with pytest.raises(PairingError, match="sources is empty"):
        metric.interchange(TEXTS, [])
    for basis in (torch.eye(31)[:, :2], torch.ones(32, 1), torch.full((32, 1), torch.nan)):
        with pytest.raises(OptionError, match=r"basis has the shape .*orthonormal.*32"):
            metric.interchange(TEXTS, SOURCES, basis=basis)
    for missing in ({}, {"layer": 1}, {"basis": torch.eye(32)[:, :2]}):
        with pytest.raises(OptionError, match="no purpose subspace; give basis and layer"):
            DescriptionScore(tiny_clip).interchange(TEXTS, SOURCES, **missing)
    for layer in (0, 3):
        with pytest.raises(OptionError, match=f"after block {layer} of the text tower.*1 to 2"):
            metric.interchange(TEXTS, SOURCES, layer=layer)


def test_a_bad_text_or_source_is_named_and_the_others_are_embedded(checkpoint: Path) -> None:
    strict = DescriptionScore(checkpoint)
    with pytest.raises(InputError, match=r"^text 1 is empty"):
        strict.interchange(["a", " "], ["b", "c"])
    with pytest.raises(InputError, match=r"^source 0 is empty"):
        strict.interchange(["a", "b"], ["", "c"])
    found = DescriptionScore(checkpoint, on_error="record").interchange(
        ["a", " ", "c"], ["", "b", "a cat"]
    )
    assert found.errors[0] is not None
    assert found.errors[0].startswith("text 0 has a source that is empty")
    assert found.errors[1] is not None
    assert found.errors[1].startswith("text 1 is empty")
    assert found.errors[2] is None
    assert np.isnan(found.values).all(1).tolist() == [True, True, False]
    expected = strict.interchange("c", "a cat").values[0]
    np.testing.assert_allclose(found.values[2], expected, atol=1e-6)


def test_a_subspace_is_shown_in_a_line(metric: DescriptionScore) -> None:
    assert repr(metric.purpose_subspace) == "Purpose(Site(layer=1), width=32, dimension=5)"
