"""Distinct texts -> what is encoded of them: whole texts, or their sentences."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from descscore.errors import TextError
from descscore.inputs.items import text_problem
from descscore.inputs.transform import split_sentences
from descscore.strings import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from descscore.inputs.pairs import Pairs
    from descscore.inputs.transform import TextTransform, Tokens

LongText = Literal["truncate", "sentences", "error"]
LONG_TEXT: tuple[str, ...] = get_args(LongText)


def cleaned(text: str) -> str:
    """A text as OpenAI's tokenizer cleans it before it splits it.

    Mojibake repaired (ftfy), HTML's entities read twice, white space made single spaces.
    """
    import ftfy

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def clean_pairs(pairs: Pairs) -> Pairs:
    """The same pairs with cleaned texts; one of which nothing is left has an error."""
    texts, errors = list(pairs.texts), dict(pairs.text_errors)
    for row, text in enumerate(texts):
        if row in errors:
            continue
        texts[row] = cleaned(text)
        if (problem := text_problem(texts[row])) is not None:
            texts[row], errors[row] = "", TextError(problem)
    return replace(pairs, texts=texts, text_errors=errors)


@dataclass(frozen=True, kw_only=True)
class TextUnits:
    """What is encoded of some texts.

    Attributes:
        tokens: distinct units, each at most the window long.
        of_text: for each text its rows in `tokens`: one, or one a sentence; none if it failed.
        counts: for each text its tokens before truncation, start and end included; 0 if it failed.
        truncated: for each text, whether a token of it is not encoded.
        errors: for each text that cannot be scored, why, to be read after "text 3".
    """

    tokens: list[list[int]]
    of_text: list[list[int]]
    counts: list[int]
    truncated: list[bool]
    errors: dict[int, TextError]

    def flatten(
        self, text_of: Int[np.ndarray, " pair"]
    ) -> tuple[Int[np.ndarray, " pair_unit"], Int[np.ndarray, " pair_unit"]]:
        """Every pair with every unit of its text: the pair's position and the unit's row."""
        if all(len(units) == 1 for units in self.of_text):
            return np.arange(len(text_of)), np.concatenate(self.of_text)[text_of]
        return flatten([self.of_text[text] for text in text_of])

    def mean(self, values: Float[Tensor, "unit width"]) -> Float[Tensor, "text width"]:
        """Mean of what was found for each text's units; zeros where the text failed."""
        text, unit = flatten(self.of_text)
        rows, units = (torch.as_tensor(some, device=values.device) for some in (text, unit))
        total = values.new_zeros(len(self.of_text), values.shape[1])
        total.index_add_(0, rows, values[units])
        return total / torch.bincount(rows, minlength=len(total)).clamp(min=1)[:, None]


def flatten(
    rows: Sequence[Sequence[int]],
) -> tuple[Int[np.ndarray, " value"], Int[np.ndarray, " value"]]:
    """A list of lists as two arrays: the position of each value's list, and the values."""
    lengths = [len(values) for values in rows]
    positions = np.repeat(np.arange(len(rows)), lengths)
    return positions, np.array([value for values in rows for value in values], dtype=np.int64)


def text_units(
    texts: Sequence[str],
    transform: TextTransform,
    *,
    prefix: str,
    long_text: LongText,
    failed: Mapping[int, TextError],
) -> TextUnits:
    """Tokenise distinct texts and settle what becomes of those beyond the model's window.

    Args:
        texts: the texts.
        transform: the checkpoint's tokeniser.
        prefix: put before every text, and before every sentence of a split one.
        long_text: for a text beyond the window: "truncate" cuts it and keeps the end token;
            "sentences" encodes its sentences one by one; "error" refuses it.
        failed: for rows that are already known to have failed, why.
    """
    present = [row for row in range(len(texts)) if row not in failed]
    whole = dict(zip(present, transform([f"{prefix}{texts[row]}" for row in present]), strict=True))
    rows: dict[tuple[int, ...], int] = {}
    of_text: list[list[int]] = []
    truncated: list[bool] = []
    errors = dict(failed)
    for row, text in enumerate(texts):
        units: list[Tokens] = []
        if row in whole:
            tokens = whole[row]
            units = [tokens]
            if tokens.truncated and long_text == "sentences":
                units = transform([f"{prefix}{sentence}" for sentence in split_sentences(text)])
            if tokens.truncated and long_text == "error":
                errors[row] = TextError(
                    f"({quoted(text, 60)}) has {tokens.length} tokens and the window is "
                    f"{transform.window}; shorten it, or choose long_text='truncate' or 'sentences'"
                )
            elif any(transform.interrupts(unit) for unit in units):
                errors[row] = TextError(
                    f"({quoted(text, 60)}) contains a character that the checkpoint's tokenizer "
                    "has no token for and would read as a text's start or end; remove it"
                )
        if row in errors:
            units = []
        truncated.append(any(unit.truncated for unit in units))
        of_text.append([rows.setdefault(tuple(unit.ids), len(rows)) for unit in units])
    return TextUnits(
        tokens=[list(ids) for ids in rows],
        of_text=of_text,
        counts=[whole[row].length if of_text[row] else 0 for row in range(len(texts))],
        truncated=truncated,
        errors=errors,
    )
