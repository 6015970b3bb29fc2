"""Reads the purpose of texts with one checkpoint, whichever CLIP scores them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import resolve_checkpoint
from descscore.errors import OptionError
from descscore.towers.cached import EncoderCache
from descscore.towers.encoder import Encoder

if TYPE_CHECKING:
    import os

    from descscore.pipeline import Encoded, Pipeline
    from descscore.purpose.probe import Purpose
    from descscore.towers.cache import EmbeddingCache


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A text tower with a purpose subspace.

    Attributes:
        identity: the checkpoint's name with its commit or digest.
        pipeline: the checkpoint's pipeline, without a prefix, in float32.
        purpose: its subspace.
    """

    identity: str
    pipeline: Pipeline
    purpose: Purpose

    def read(self, encoded: Encoded) -> Encoded:
        """The same pairs with purposes by this reader; each distinct text is read once.

        Raises:
            TextError, InputError: with the pipeline's `raise_errors`, the first text that fails.
        """
        pairs = encoded.pairs
        rows = np.setdiff1d(pairs.text_of, list(encoded.text_errors))
        read = self.pipeline.encode(pairs.texts_only(rows))
        device = encoded.texts.embeddings.device
        purposes = torch.zeros(len(pairs.texts), dtype=torch.float32, device=device)
        truncated = encoded.truncated.copy()
        if read.purposes is not None:
            purposes[torch.as_tensor(rows, device=device)] = read.purposes.to(device)
            truncated[rows] |= read.truncated
        failed = {int(rows[row]): error for row, error in read.text_errors.items()}
        return replace(
            encoded,
            purposes=purposes,
            truncated=truncated,
            text_errors={**encoded.text_errors, **failed},
        )

    def retokenize(self, encoded: Encoded) -> Encoded:
        """The same pairs with this reader's tokens, for explanations of its purposes."""
        units = self.pipeline.tokenize(encoded.pairs, "truncate")
        return replace(encoded, units=units, text_errors={**encoded.text_errors, **units.errors})


def load_reader(
    name: str | os.PathLike[str],
    beside: Pipeline,
    cache: EmbeddingCache | None = None,
    *,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Reader:
    """Load a checkpoint as a reader.

    Args:
        name: "mini", a folder, or a Hub id.
        beside: the scoring checkpoint's pipeline, whose device and options the reader shares.
        cache: the cache of embeddings.
        local_files_only: read a Hub id from the local cache only.
        token: access token for private repositories on the Hub.

    Raises:
        OptionError: the checkpoint has no purpose subspace.
        CheckpointError: the checkpoint is missing, unsafe or broken.
    """
    checkpoint = resolve_checkpoint(name, local_files_only=local_files_only, token=token)
    clip = load_clip(checkpoint, dtype=torch.float32, device=beside.encoder.device)
    if clip.purpose is None:
        raise OptionError(
            f"purpose is {checkpoint.name!r}, a checkpoint without a purpose subspace; name one "
            "with a subspace, such as 'mini'"
        )
    pipeline = replace(
        beside,
        encoder=Encoder(
            clip.towers, clip.images, clip.purpose, cache=EncoderCache.of(cache, checkpoint, clip)
        ),
        transform=clip.texts,
        prefix="",
        clean=False,
        workers=0,
    )
    return Reader(identity=checkpoint.identity, pipeline=pipeline, purpose=clip.purpose)
