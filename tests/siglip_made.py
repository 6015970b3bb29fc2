"""Small SigLIPs with random weights, and tokenizers made here, in folders of transformers."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = 40

_TEXTS = ["a photo of a dog on the beach.", "two cats sleep on a red sofa.", "an old clock, no. 7!"]


def siglip(folder: Path) -> Path:
    """A SigLIP with the sentencepiece tokenizer of its first version."""
    import sentencepiece

    content = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXTS * 20),
        model_writer=content,
        vocab_size=60,
        pad_id=-1,
        bos_id=-1,
        eos_id=1,
        unk_id=2,
        hard_vocab_limit=False,
        byte_fallback=False,
        minloglevel=2,
    )
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(content.getvalue())
    settings = {"tokenizer_class": "SiglipTokenizer", "model_max_length": WINDOW}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return _with_model(folder, vocabulary=100)


def siglip2(folder: Path) -> Path:
    """A SigLIP 2 of fixed resolution with a Gemma-like tokenizer."""
    from tokenizers import processors
    from transformers import Siglip2Tokenizer

    pieces = [chr(code) for code in range(33, 127)] + ["\u2581", "a\u2581", "th", "the"]
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256))]
    vocabulary = {name: place for place, name in enumerate([*names, *pieces])}
    merges = [("a", "\u2581"), ("t", "h"), ("th", "e")]
    tokenizer = Siglip2Tokenizer(
        vocab=vocabulary, merges=merges, padding_side="right", model_input_names=["input_ids"]
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    tokenizer.save_pretrained(folder)
    return _with_model(folder, vocabulary=len(vocabulary))


def _with_model(folder: Path, *, vocabulary: int) -> Path:
    import torch
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = SiglipConfig(
        text_config=tower
        | {
            "vocab_size": vocabulary,
            "max_position_embeddings": WINDOW,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 1,
        },
        vision_config=tower | {"image_size": 32, "patch_size": 8},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SiglipModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
