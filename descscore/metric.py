"""The metric: scores pairs of images and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import torch.nn.functional as F

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import SHIPPED, resolve_checkpoint, warn_of_mini
from descscore.errors import CheckpointError, OptionError
from descscore.explain.explainable import Explainable
from descscore.inputs.decode import default_workers
from descscore.inputs.pairs import images_alone, pair_up, texts_alone
from descscore.inputs.texts import LongText
from descscore.metric_options import CLIPSCORE_PREFIX, OnError, check_metric_options
from descscore.pipeline import Encoded, Pipeline
from descscore.purpose.probe import Readout
from descscore.purpose.reader import load_reader
from descscore.purpose.subspace import Site
from descscore.results import Embeddings, Scores, concatenate
from descscore.score import Scale, check_references, score
from descscore.signature import check_same_signature, differences, to_signature
from descscore.towers.cache import EmbeddingCache
from descscore.towers.cached import EncoderCache
from descscore.towers.device import choose_device, choose_dtype
from descscore.towers.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from jaxtyping import Float

    from descscore.inputs.items import ImageInput
    from descscore.inputs.pairs import Pairs


_NAME_READER = "name a reader, such as purpose='mini'"


class DescriptionScore(Explainable):
    """Scores how well texts fit images, with any CLIP or one that prefers descriptions.

    Args:
        checkpoint: "mini" (shipped), a folder, or a Hub id, of any CLIP or SigLIP of transformers
            or, with "open_clip:" before the name, of open_clip. By default the value of
            `DESCSCORE_CHECKPOINT`, or else "mini".
        revision: branch, tag or commit on the Hub.
        local_files_only: read a Hub id from the local cache only.
        token: for private repositories on the Hub; by default the stored one, or `HF_TOKEN`.
        device: "auto" (CUDA, else MPS, else the CPU) or a PyTorch device.
        dtype: precision of the encoders: "float32", "bfloat16", "float16", "int8" (linear layers
            on CPUs), or "auto": float16 on CUDA, float32 elsewhere. Embeddings are always
            normalised and multiplied in float32.
        batch_size: images, or texts of full length, per batch; shorter texts go in larger batches.
            A CPU takes at most 32 images at once, which is faster.
        num_workers: threads that decode images; by default one per core, at most 8; 0 uses none.
        scale: "clipscore" (2.5 max(cos, 0)), "clip100" (100 max(cos, 0)) or "cosine".
        prefix: put before every text and reference; `CLIPSCORE_PREFIX` for published CLIPScores.
        clean: clean texts as OpenAI's tokenizer does: repair mojibake (ftfy),
            unescape HTML twice, collapse whitespace. None cleans if the prefix is
            `CLIPSCORE_PREFIX`, since published CLIPScores are for cleaned texts.
        long_text: for texts beyond the window: "truncate" (the end token is kept), "sentences" (the
            mean score of their sentences) or "error".
        readouts: what else to return, for a checkpoint with a purpose subspace:
            "purpose", "subspace", "purpose_effect" (see `Scores`). The first two cost next to
            nothing; the last runs the end token through the last blocks once more.
        purpose: a checkpoint with a purpose subspace, such as "mini", that computes
            `Scores.purpose` in place of the scoring checkpoint. It reads each distinct text once,
            without the prefix, in float32.
        purpose_weight: weight of log(P / (1 - P)), clipped to [-4, 4], which is added to every
            score, with P the purpose; None leaves scores unchanged.
        on_error: "raise" at the first item that cannot be scored, or "record" it in `Scores.errors`
            and score all others.
        progress: show progress bars on stderr.
        jpeg_draft: let JPEG's decoder shrink large photos, to at least twice the size that the
            checkpoint takes: faster, and scores change in the third digit or so.
        cache: a folder or an `EmbeddingCache` that keeps embeddings, so that images and texts are
            decoded and encoded only once.

    Attributes:
        purpose_subspace: site, basis and probe of the checkpoint's subspace; None without one.
        signature: one line that names everything a score depends on, except references and context.

    Raises:
        OptionError: an option outside its allowed values.
        CheckpointError: the checkpoint is missing, unsafe or broken.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike[str] | None = None,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        batch_size: int = 64,
        num_workers: int | None = None,
        scale: Scale = "clipscore",
        prefix: str = "",
        clean: bool | None = None,
        long_text: LongText = "truncate",
        readouts: Collection[Readout] = ("purpose",),
        purpose: str | os.PathLike[str] | None = None,
        purpose_weight: float | None = None,
        on_error: OnError = "raise",
        progress: bool = False,
        jpeg_draft: bool = False,
        cache: str | os.PathLike[str] | EmbeddingCache | None = None,
    ) -> None:
        # What a pickled metric is made from again; a token stays here.
        arguments = {n: value for n, value in locals().items() if n not in {"self", "token"}}
        check_metric_options(arguments)
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        self.scale: Scale = scale
        self.prefix = prefix
        self.clean = prefix == CLIPSCORE_PREFIX if clean is None else clean
        self.long_text: LongText = long_text
        self.on_error: OnError = on_error
        self.jpeg_draft = jpeg_draft
        self.purpose_weight = purpose_weight
        self.checkpoint = resolve_checkpoint(
            os.environ.get("DESCSCORE_CHECKPOINT") or "mini" if checkpoint is None else checkpoint,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        warn_of_mini(self.checkpoint)
        store = EmbeddingCache(cache) if isinstance(cache, str | os.PathLike) else cache
        clip = load_clip(self.checkpoint, dtype=self.dtype, device=self.device)
        clip = replace(clip, images=replace(clip.images, jpeg_draft=jpeg_draft))
        self.purpose_subspace = clip.purpose
        reads = clip.purpose is not None or purpose is not None
        if clip.purpose is None and (more := {*readouts} - {"purpose"}):
            raise self._lacks_subspace("omit them", f"readouts has {sorted(more)}, but ")
        if purpose_weight is not None and not reads:
            raise self._lacks_subspace(_NAME_READER, f"purpose_weight is {purpose_weight}, but ")
        self.readouts = frozenset(readouts if reads else ())
        self._pipeline = Pipeline(
            encoder=Encoder(
                clip.towers,
                clip.images,
                clip.purpose,
                effect="purpose_effect" in self.readouts,
                cache=EncoderCache.of(store, self.checkpoint, clip),
            ),
            transform=clip.texts,
            prefix=prefix,
            clean=self.clean,
            long_text=long_text,
            batch_size=batch_size,
            workers=default_workers() if num_workers is None else num_workers,
            progress=progress,
            raise_errors=on_error == "raise",
        )
        self._reader = None
        if purpose is not None:
            self._reader = load_reader(
                purpose, self._pipeline, store, local_files_only=local_files_only, token=token
            )
        self._arguments = arguments | {
            "device": str(device),
            "readouts": sorted(readouts),
            "purpose": None if purpose is None else os.fspath(purpose),
            "cache": None if store is None else [str(store.folder.resolve()), store.max_bytes],
        }
        base = self.checkpoint.base
        self.signature = to_signature(
            {
                "descscore": version("descscore"),
                "checkpoint": self.checkpoint.identity,
                "base": "itself" if base is None else base.identity,
                "scale": scale,
                "prefix": repr(prefix) if prefix else "none",
                "long_text": long_text,
                "dtype": str(self.dtype).removeprefix("torch."),
                "images": f"pillow-{PIL.__version__}{'-draft' if jpeg_draft else ''}",
                "clean": f"ftfy-{version('ftfy')}" if self.clean else None,
                "purpose": None if self._reader is None else self._reader.identity,
                "purpose_weight": None if purpose_weight is None else repr(float(purpose_weight)),
            }
        )
        self.reset()

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__ and not name.startswith("_"):
            raise AttributeError(
                f"{name} of a metric cannot be changed; make a new metric: "
                f"DescriptionScore(..., {name}={value!r})"
            )
        super().__setattr__(name, value)

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        references: Sequence[str] | Sequence[str | Sequence[str]] | None = None,
        context: str | Sequence[str] | None = None,
        *,
        pairwise: bool = False,
    ) -> Scores:
        """Score pairs of images and texts; each distinct image and text is encoded once.

        Args:
            images: one image or a list. An image is a path, a PIL image, encoded bytes, a uint8
                array (H, W, 3), or a tensor (3, H, W), uint8 or float in [0, 1].
            texts: a text; a list with one text per image; for one image, a list of its texts; or a
                list of one list of texts per image.
            references: for each image, one or several reference texts; scores become RefCLIPScores.
            context: for each image, the text that it appears in, or one string for all images; adds
                `Scores.context_scores`. The prefix is not added to it.
            pairwise: score every image with every text; results have the shape [image, text].

        Raises:
            PairingError: numbers or nesting do not match, or there is nothing to score; also with
                `on_error="record"`.
            ImageError, TextError: with `on_error="raise"`, the first item that cannot be scored.
            OptionError: references on another scale than "clipscore", or with a purpose weight.
        """
        return self._score(pair_up(images, texts, references, context, pairwise=pairwise))

    def purpose(self, texts: str | Sequence[str]) -> Float[np.ndarray, " text"]:
        """P(description) of texts, from the probe on a purpose subspace; needs no images.

        The subspace is that of the checkpoint passed as `purpose`, or else the metric's own.

        Returns:
            float32 in [0, 1], one per text; NaN for a text that failed with `on_error="record"`.

        Raises:
            OptionError: there is no purpose subspace.
            PairingError: there is no text.
            TextError: with `on_error="raise"`, the first text that cannot be read.
        """
        if self._reader is None and self.purpose_subspace is None:
            raise self._lacks_subspace(_NAME_READER)
        values = self._read(texts_alone(texts)).pair_purposes
        return np.zeros(0, np.float32) if values is None else values

    def interchange(
        self,
        texts: str | Sequence[str],
        sources: str | Sequence[str],
        *,
        basis: Float[torch.Tensor | np.ndarray, "width dimension"] | None = None,
        layer: int | None = None,
    ) -> Embeddings:
        """Unit embeddings of texts with their sources' coordinates in a subspace.

        The distributed interchange intervention DII(text, source) at the end token (Geiger et al.
        2024; Zur et al. 2024, section 3). The dot product with an image embedding is the score
        that the text would then have on the scale "cosine". Texts beyond the window are truncated,
        whatever `long_text`, unless it is "error".

        Args:
            texts: a text or a list.
            sources: a source for all texts, or a list with one per text.
            basis: orthonormal columns that span another subspace; by default the checkpoint's.
            layer: block of the text tower, counted from 1, after which to intervene; by default
                the checkpoint's.

        Raises:
            OptionError: the checkpoint has no purpose subspace and basis or layer is missing, the
                text tower has no such layer, or the basis does not have its width or is not
                orthonormal.
            PairingError: there is no text or source, or their numbers do not match.
            TextError: with `on_error="raise"`, the first text or source that cannot be read.
        """
        if layer is None or basis is None:
            if (own := self.purpose_subspace) is None:
                raise self._lacks_subspace("give basis and layer")
            layer = own.site.layer if layer is None else layer
            basis = own.basis if basis is None else basis
        return self._pipeline.interchange(texts, sources, Site(layer=layer), basis)

    def embed_images(self, images: ImageInput | Sequence[ImageInput]) -> Embeddings:
        """Unit embeddings of images; the cosine with a text's is their score on scale "cosine".

        Raises:
            PairingError: there is no image.
            ImageError: with `on_error="raise"`, the first image that cannot be read.
        """
        encoded = self._pipeline.encode(images_alone(images))
        return Embeddings.of(encoded.images[encoded.pairs.image_of], encoded.errors)

    def embed_texts(self, texts: str | Sequence[str]) -> Embeddings:
        """Unit embeddings of texts, the prefix included.

        With `long_text="sentences"` a long text has the mean direction of its sentences.

        Raises:
            PairingError: there is no text.
            TextError: with `on_error="raise"`, the first text that cannot be read.
        """
        encoded = self._pipeline.encode(texts_alone(texts))
        whole = F.normalize(encoded.units.mean(encoded.texts.embeddings), dim=1)
        return Embeddings.of(whole[encoded.pairs.text_of], encoded.errors)

    def update(
        self,
        images: ImageInput | Sequence[ImageInput],
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        references: Sequence[str] | Sequence[str | Sequence[str]] | None = None,
        context: str | Sequence[str] | None = None,
    ) -> None:
        """Score a batch and keep the result for `compute`; arguments and errors as for a call.

        Raises:
            OptionError: earlier batches had references or context and this one does not, or
                the reverse.
        """
        pairs = pair_up(images, texts, references, context, before=self._before)
        if self._parts:
            check_same_signature([self._parts[0].signature, self._signature(pairs)])
        self._parts.append(self._score(pairs))
        (images_before, texts_before), (more_images, more_texts) = self._before, pairs.counts
        self._before = images_before + more_images, texts_before + more_texts

    def compute(self) -> Scores:
        """The scores of all batches since the last `reset`, in order.

        Raises:
            OptionError: there was no batch.
        """
        if not self._parts:
            raise OptionError("nothing to compute; call update(images, texts) first")
        return concatenate(self._parts)

    def reset(self) -> None:
        """Discard the batches."""
        self._parts: list[Scores] = []
        self._before = 0, 0

    def __repr__(self) -> str:
        name, device = self.checkpoint.name, str(self.device)
        return f"DescriptionScore({name!r}, device={device!r})\n{self.signature}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments, without weights and token, and the batches, if there are any.

        So `datasets` recognises a metric that it has seen, and workers load their own weights.
        """
        place = self.checkpoint
        by_name = place.revision is not None or place.folder in SHIPPED.values()
        checkpoint = place.name if by_name else str(place.folder)
        arguments = self._arguments | {"checkpoint": checkpoint, "revision": place.revision}
        batches = {"_parts": self._parts, "_before": self._before}
        # As one string: equal arguments give equal bytes, whichever objects they share.
        content = json.dumps({"arguments": arguments, "signature": self.signature})
        return _remake, (content,), batches if self._parts else None

    def _signature(self, pairs: Pairs) -> str:
        """The metric's signature with what pairs bring along."""
        references = "" if pairs.references_of is None else "|references:yes"
        return self.signature + references + ("" if pairs.contexts is None else "|context:yes")

    def _score(self, pairs: Pairs) -> Scores:
        if pairs.references_of is not None:
            check_references(self.scale, self.purpose_weight)
        return self._scores(self._encode(pairs))

    def _scores(self, encoded: Encoded) -> Scores:
        return score(
            encoded,
            scale=self.scale,
            readouts=self.readouts,
            purpose_weight=self.purpose_weight,
            signature=self._signature(encoded.pairs),
        )


def _remake(content: str) -> DescriptionScore:
    arguments, signature = json.loads(content).values()
    if arguments["cache"] is not None:
        folder, max_bytes = arguments["cache"]
        arguments["cache"] = EmbeddingCache(folder, max_bytes=max_bytes)
    metric = DescriptionScore(**arguments)
    for part, then, now in differences(signature, metric.signature):
        if part in {"checkpoint", "base", "purpose"}:
            raise CheckpointError(
                f"the pickled metric scored with {part} {then!r}, which is now {now!r}; make a new "
                "metric"
            )
    return metric
