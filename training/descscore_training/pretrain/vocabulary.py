"""A byte-pair vocabulary in CLIP's style."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import CLIPTokenizer


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, window: int) -> CLIPTokenizer:
    """Learn byte pairs from texts, with CLIP's normalisation and its layout of ids.

    As in OpenAI's vocabulary, every byte is a token, within a word and at its end, so that no text
    has an unknown part; and the start and the end token have the two largest ids, so that legacy
    code that pools at the largest id of a text finds the end token too.

    Args:
        texts: what to learn from.
        vocabulary: number of tokens at most, the two special ones included.
        window: number of tokens of a text at most, start and end included.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    # The trainer keeps only those bytes at a word's end that it has seen there.
    learned = CLIPTokenizer().train_new_from_iterator(
        texts, vocab_size=vocabulary - len(alphabet), show_progress=False
    )
    model = json.loads(learned.backend_tokenizer.to_str())["model"]
    start, end = learned.bos_token, learned.eos_token
    pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
    bytes_first = [*alphabet, *(byte + "</w>" for byte in alphabet), *pieces]
    ordered = [piece for piece in dict.fromkeys(bytes_first) if piece not in (start, end)]
    return CLIPTokenizer(
        vocab={piece: i for i, piece in enumerate([*ordered, start, end])},
        merges=[tuple(merge) for merge in model["merges"]],  # pyright: ignore[reportArgumentType]
        model_max_length=window,
    )
