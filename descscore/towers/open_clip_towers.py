"""A model of open_clip as towers, with transforms that do what open_clip does.

It has no rule for a purpose site.
"""

# open_clip may be absent.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image

from descscore.checkpoints.files import OPEN_CLIP_CONFIG, OPEN_CLIP_WEIGHTS
from descscore.checkpoints.preprocessing import difference
from descscore.checkpoints.weights import stored_tensors
from descscore.errors import CheckpointError
from descscore.extras import imports_of
from descscore.inputs.transform import ImageTransform, TextTransform, Tokens
from descscore.strings import quoted
from descscore.towers.clip import pad
from descscore.towers.protocol import Towers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class OpenClipTowers(Towers):
    """Any model of open_clip with the tokenizer of CLIP.

    Args:
        model: of open_clip, on the device and in the dtype to compute in.
        width: of an embedding.
        window: tokens of a text, to which all are padded.
    """

    family: ClassVar[str] = "open_clip"

    def __init__(self, model: Any, *, width: int, window: int) -> None:
        super().__init__(model)
        self._width = width
        self._window = window

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self._width

    def embed_images(
        self, pixels: Float[Tensor, "image 3 row column"]
    ) -> Float[Tensor, "image width"]:
        """Unit embeddings of normalised images, in float32."""
        return F.normalize(self.model.encode_image(pixels.to(self.dtype)).float(), dim=1)

    def text_features(self, tokens: Sequence[Sequence[int]]) -> Float[Tensor, "text width"]:
        """Embeddings of token ids before they are normalised, in float32."""
        ids = F.pad(pad(tokens, self.device), (0, self._window - max(map(len, tokens))))
        return self.model.encode_text(ids).float()


class OpenClipText(TextTransform):
    """open_clip's tokenizer of CLIP, which cleans texts, with a flag for what it cuts off.

    Args:
        tokenizer: of open_clip.
        window: tokens of a text at most.
    """

    def __init__(self, tokenizer: Any, *, window: int) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self.start = tokenizer.sot_token_id
        self.end = tokenizer.eot_token_id
        self.padding = None
        self.controls = {self.start, self.end}

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenise, each text into at most `window` ids."""
        encoded = [[self.start, *self.tokenizer.encode(text), self.end] for text in texts]
        return [Tokens(self._fit(ids), len(ids), len(ids) > self.window) for ids in encoded]


def load_open_clip(
    folder: Path, dtype: torch.dtype
) -> tuple[OpenClipTowers, ImageTransform, OpenClipText]:
    """Load a model from `open_clip_config.json` and `open_clip_model.safetensors`.

    Raises:
        MissingExtraError: open_clip is not installed.
        CheckpointError: files are damaged, or ask for steps that descscore does not take.
    """
    try:
        with imports_of("open_clip"):
            import open_clip
            from open_clip.tokenizer import SimpleTokenizer
    # What torchvision raises beside a torch that it was not built for.
    except RuntimeError as error:
        raise CheckpointError(
            f"open_clip cannot be imported ({error}); install the torchvision that belongs to "
            f"torch {torch.__version__}"
        ) from error

    stored_tensors(folder / OPEN_CLIP_WEIGHTS)
    source = f"local-dir:{folder}"
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(source)
        tokenizer: Any = open_clip.get_tokenizer(source)
        settings = open_clip.get_model_preprocess_cfg(model)
    # open_clip raises errors of any class.
    except Exception as error:
        raise CheckpointError(f"{folder} cannot be loaded by open_clip: {error}") from error
    if not isinstance(tokenizer, SimpleTokenizer):
        raise CheckpointError(
            f"{folder} has the tokenizer {type(tokenizer).__name__}, and descscore reads models of "
            "open_clip with CLIP's own; use the model's version for transformers"
        )
    images = _image_transform(folder, settings)
    if (problem := difference(images, preprocess, "open_clip")) is not None:
        raise CheckpointError(
            f"{folder / OPEN_CLIP_CONFIG} has preprocess_cfg {quoted(settings)}, {problem}"
        )
    with torch.inference_mode():
        width = model.encode_image(torch.zeros(1, 3, *images.crop)).shape[1]
    model.eval().requires_grad_(False).to(dtype)
    window = tokenizer.context_length
    towers = OpenClipTowers(model, width=width, window=window)
    return towers, images, OpenClipText(tokenizer, window=window)


def _image_transform(folder: Path, settings: dict[str, Any]) -> ImageTransform:
    """The steps of open_clip's settings, which torchvision takes on Pillow."""
    size, mode = settings["size"], settings["resize_mode"]
    height, width = (size, size) if isinstance(size, int) else size
    if mode not in {"shortest", "squash"} or (mode == "shortest" and height != width):
        raise CheckpointError(
            f"{folder / OPEN_CLIP_CONFIG} has resize_mode {mode!r} for size {quoted(size)}; "
            "descscore reads 'shortest' to a square and 'squash'"
        )
    if settings["interpolation"] not in _RESAMPLING:
        raise CheckpointError(
            f"{folder / OPEN_CLIP_CONFIG} has interpolation {quoted(settings['interpolation'])}; "
            f"descscore reads {', '.join(_RESAMPLING)}"
        )
    return ImageTransform(
        resize=height if mode == "shortest" else (height, width),
        crop=(height, width),
        rounded=True,
        resample=_RESAMPLING[settings["interpolation"]],
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
    )
