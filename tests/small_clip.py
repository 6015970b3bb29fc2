"""A small CLIP that is built in memory, and token ids for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import CLIPModel

BLOCKS, WIDTH, WINDOW = 4, 32, 48
START, END = 98, 99


def small_clip(*, eos_token_id: int = END, seed: int = 0) -> CLIPModel:
    """Four blocks of width 32 with random weights.

    Args:
        eos_token_id: `END`, or 2, with which transformers pools at the largest id, here too `END`.
        seed: of the weights.
    """
    import torch
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": 2,
        # Weights large enough that different texts get clearly different embeddings.
        "initializer_factor": 3.0,
    }
    text = {
        "vocab_size": END + 1,
        "max_position_embeddings": WINDOW,
        "bos_token_id": START,
        "eos_token_id": eos_token_id,
        "pad_token_id": END,
    }
    config = CLIPConfig(
        text_config=tower | text,
        vision_config=tower | {"image_size": 32, "patch_size": 8},
        projection_dim=WIDTH,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPModel(config).eval()


def random_texts(
    lengths: Sequence[int], *, seed: int, highest: int = START - 1
) -> tuple[Tensor, Tensor]:
    """Token ids in a rectangle as wide as the longest text, and each text's end.

    Args:
        lengths: of each text, start and end token included.
        seed: of the tokens between.
        highest: id of those, below the start token.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, highest + 1, (length,), generator=generator)
        ids[row, 0], ids[row, length - 1] = highest + 1, highest + 2
    return ids, torch.tensor(lengths) - 1


def save_tiny_clip(folder: Path) -> Path:
    """Save a CLIP with random weights, its tokenizer and image processor; the folder again.

    It takes images of 32 pixels, and has two blocks of width 32 and a window of 77.
    """
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from descscore_training.pretrain.pretrain import train_tokenizer

    texts = ["A photo of a dog on the beach.", "Two cats sleep on a red sofa.", "An old clock."]
    tokenizer = train_tokenizer(texts, vocabulary=600, window=77)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        # Weights large enough that different inputs get clearly different embeddings.
        "initializer_factor": 3.0,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config=tower | text,
        vision_config=tower | {"image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder
