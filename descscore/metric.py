"""The metric: scores pairs of images and texts."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import PIL
import torch
import torch.nn.functional as F

from descscore.checkpoints.attach import load_clip
from descscore.checkpoints.store import SHIPPED, resolve_checkpoint, warn_of_mini
from descscore.errors import CheckpointError, OptionError, PairingError
from descscore.explain.explainer import Explainer
from descscore.explain.options import ExplainOptions
from descscore.inputs.items import is_image
from descscore.inputs.pairs import images_alone, pair_up, texts_alone
from descscore.inputs.stream import default_workers
from descscore.inputs.texts import LongText
from descscore.metric_options import CLIPSCORE_PREFIX, OnError, check_metric_options
from descscore.pipeline import Encoded, Pipeline
from descscore.purpose.probe import Purpose, Readout
from descscore.purpose.reader import load_reader
from descscore.purpose.subspace import Site, orthonormality_error
from descscore.results import Embeddings, Scores, concatenate
from descscore.score import Scale, score
from descscore.signature import check_same_signature, signature_parts, to_signature
from descscore.towers.cache import EmbeddingCache
from descscore.towers.cached import EncoderCache
from descscore.towers.device import choose_device, choose_dtype
from descscore.towers.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from descscore.explain.explanation import Baseline, Explanation, Target
    from descscore.explain.quadrature import Method
    from descscore.inputs.items import ImageInput
    from descscore.inputs.pairs import Pairs
    from descscore.results import Problem


class DescriptionScore:
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
        self.checkpoint = resolve_checkpoint(
            os.environ.get("DESCSCORE_CHECKPOINT") or "mini" if checkpoint is None else checkpoint,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
        if self.checkpoint.folder in SHIPPED.values():
            warn_of_mini()
        store = EmbeddingCache(cache) if isinstance(cache, str | os.PathLike) else cache
        clip = load_clip(self.checkpoint, dtype=self.dtype, device=self.device)
        self.jpeg_draft = jpeg_draft
        clip = replace(clip, images=replace(clip.images, jpeg_draft=jpeg_draft))
        if clip.purpose is None and (more := {*readouts} - {"purpose"}):
            raise OptionError(
                f"readouts has {sorted(more)}, but {self.checkpoint.name!r} has no purpose "
                "subspace; omit them, or name a checkpoint with one, such as 'mini'"
            )
        if purpose_weight is not None and clip.purpose is None and purpose is None:
            raise OptionError(
                f"purpose_weight is {purpose_weight}, but {self.checkpoint.name!r} has no purpose "
                "subspace; name a reader, such as purpose='mini'"
            )
        self.readouts = frozenset(readouts if clip.purpose or purpose is not None else ())
        self.purpose_weight = purpose_weight
        self.purpose_subspace = clip.purpose
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
                purpose,
                self._pipeline,
                local_files_only=local_files_only,
                token=token,
                cache=store,
            )
        self._arguments = arguments | {
            "device": str(device),
            "readouts": sorted(readouts),
            "purpose": None if purpose is None else os.fspath(purpose),
            "cache": None if store is None else [str(store.folder.resolve()), store.max_bytes],
        }
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
        if self._reader is None:
            self._subspace("name a reader, such as purpose='mini'")
        values = self._reading.encode(texts_alone(texts)).pair_purposes
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
        towers = self._pipeline.encoder.towers
        site = self._subspace("give basis and layer").site if layer is None else Site(layer=layer)
        if basis is None:
            basis = self._subspace("give basis and layer").basis
        basis = torch.as_tensor(basis).float()
        site.check(towers)
        width = towers.text_width
        fits = basis.ndim == 2 and len(basis) == width and basis.shape[1] > 0
        # In this order, since NaN is not at most anything.
        if not (fits and orthonormality_error(basis) <= 1e-4):
            raise OptionError(
                f"basis has the shape {tuple(basis.shape)}; give orthonormal columns of {width} "
                "values each"
            )
        base, source = texts_alone(texts), texts_alone(sources, "source")
        if isinstance(sources, str):
            source = texts_alone([sources] * len(base.text_of), "source")
        if len(base.text_of) != len(source.text_of):
            raise PairingError(
                f"{len(base.text_of)} texts and {len(source.text_of)} sources; give as many of "
                "each, or one source, not in a list, for all texts"
            )
        found = self._pipeline.interchange(base, source, site, basis.to(self.device))
        return _embeddings(*found)

    def _subspace(self, instead: str) -> Purpose:
        if self.purpose_subspace is None:
            raise OptionError(
                f"{self.checkpoint.name!r} has no purpose subspace; {instead}, or name a "
                "checkpoint with a subspace, such as 'mini'"
            )
        return self.purpose_subspace

    @overload
    def explain(
        self,
        image: ImageInput | None,
        text: str,
        *,
        target: Target = ...,
        n_steps: int = ...,
        method: Method = ...,
        internal_batch_size: int | None = ...,
        baseline: Baseline = ...,
        mediated: bool | None = ...,
    ) -> Explanation: ...

    @overload
    def explain(
        self,
        image: ImageInput | list[ImageInput] | tuple[ImageInput, ...] | None,
        text: list[str] | tuple[str, ...] | list[list[str]],
        *,
        target: Target = ...,
        n_steps: int = ...,
        method: Method = ...,
        internal_batch_size: int | None = ...,
        baseline: Baseline = ...,
        mediated: bool | None = ...,
    ) -> list[Explanation]: ...

    def explain(
        self,
        image: ImageInput | Sequence[ImageInput] | None,
        text: str | Sequence[str] | Sequence[Sequence[str]],
        *,
        target: Target = "score",
        n_steps: int = 50,
        method: Method = "gausslegendre",
        internal_batch_size: int | None = None,
        baseline: Baseline = "padding",
        mediated: bool | None = None,
    ) -> Explanation | list[Explanation]:
        """Attribute a score, or P(description), to the words of the text.

        Integrated gradients (Sundararajan et al. 2017) over the text's token embeddings, always in
        float32; the image's embedding is the metric's own. With a purpose subspace, each
        attribution is the sum of what flows through the subspace and around it.

        Args:
            image: one image or a list, as for a call; None for target "purpose". With this
                target and `on_error="record"`, an unreadable image is omitted.
            text: one text or a list, as for a call.
            target: "score" explains exp(logit_scale) cos, 100 cos for OpenAI's CLIP; "purpose"
                explains the purpose probe's log-odds of the text being a description.
            n_steps: number of points on the path from the baseline.
            method: quadrature rule: "gausslegendre", "riemann_left", "riemann_right",
                "riemann_middle" or "riemann_trapezoid".
            internal_batch_size: maximum number of points per batch, over all pairs; by default as
                many as make 512 tokens on a CPU and 2,048 elsewhere.
            baseline: what each token is compared with: the embedding of the "padding" token, or
                "zero".
            mediated: whether to separate through from around, which takes about 40% more time; by
                default, if the checkpoint has a purpose subspace.

        Returns:
            One explanation for one image and one text, else a list in the order of the input.

        Raises:
            OptionError: an option outside its allowed values, or one that needs a missing image or
                subspace.
            PairingError: numbers or nesting do not match, or there is nothing to explain.
            ImageError, TextError: with `on_error="raise"`, the first item that cannot be explained,
                such as a text beyond the window, whatever `long_text`.
        """
        options = ExplainOptions(
            target=target,
            n_steps=n_steps,
            method=method,
            internal_batch_size=internal_batch_size,
            baseline=baseline,
            mediated=mediated,
        )
        if image is None and target == "score":
            raise OptionError(
                "image is None, and a score needs one; give an image, or explain target='purpose'"
            )
        explainer = self._purpose_explainer if target == "purpose" else self._explainer
        options = explainer.resolve(options)
        pairs = texts_alone(text) if image is None else pair_up(image, text)  # pyright: ignore[reportArgumentType]
        if image is None:
            encoded, scores = self._reading.encode(pairs, long_text="truncate"), None
        else:
            encoded = self._encode(pairs, long_text="truncate")
            scores = self._scores(encoded).scores
            if target == "purpose":
                # An image that cannot be read costs the picture and the score, no more.
                encoded = replace(encoded, image_errors={})
                if self._reader is not None:
                    encoded = self._reader.retokenize(encoded)
        explanations = explainer(encoded, options, scores=scores, purposes=encoded.pair_purposes)
        one = isinstance(text, str) and (image is None or is_image(image))
        return explanations[0] if one else explanations

    def embed_images(self, images: ImageInput | Sequence[ImageInput]) -> Embeddings:
        """Unit embeddings of images; the cosine with a text's is their score on scale "cosine".

        Raises:
            PairingError: there is no image.
            ImageError: with `on_error="raise"`, the first image that cannot be read.
        """
        encoded = self._pipeline.encode(images_alone(images))
        return _embeddings(encoded.images[encoded.pairs.image_of], encoded.errors)

    def embed_texts(self, texts: str | Sequence[str]) -> Embeddings:
        """Unit embeddings of texts, the prefix included.

        With `long_text="sentences"` a long text has the mean direction of its sentences.

        Raises:
            PairingError: there is no text.
            TextError: with `on_error="raise"`, the first text that cannot be read.
        """
        encoded = self._pipeline.encode(texts_alone(texts))
        whole = F.normalize(encoded.units.mean(encoded.texts.embeddings), dim=1)
        return _embeddings(whole[encoded.pairs.text_of], encoded.errors)

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
        pairs = pair_up(
            images,
            texts,
            references,
            context,
            images_before=self._images_before,
            texts_before=self._texts_before,
        )
        if self._parts:
            check_same_signature([self._parts[0].signature, self._signature(pairs)])
        self._parts.append(self._score(pairs))
        self._images_before += pairs.image_count
        self._texts_before += pairs.text_count

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
        self._images_before = 0
        self._texts_before = 0

    @cached_property
    def signature(self) -> str:
        """One line that names everything a score depends on, except references and context."""
        base, weight = self.checkpoint.base, self.purpose_weight
        return to_signature(
            {
                "descscore": version("descscore"),
                "checkpoint": self.checkpoint.identity,
                "base": "itself" if base is None else base.identity,
                "scale": self.scale,
                "prefix": repr(self.prefix) if self.prefix else "none",
                "long_text": self.long_text,
                "dtype": str(self.dtype).removeprefix("torch."),
                "images": f"pillow-{PIL.__version__}{'-draft' if self.jpeg_draft else ''}",
                "clean": f"ftfy-{version('ftfy')}" if self.clean else None,
                "purpose": None if self._reader is None else self._reader.identity,
                "purpose_weight": None if weight is None else repr(float(weight)),
            }
        )

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
        batches = {
            name: self.__dict__[name] for name in ("_parts", "_images_before", "_texts_before")
        }
        # As one string: equal arguments give equal bytes, whichever objects they share.
        content = json.dumps({"arguments": arguments, "signature": self.signature})
        return _remake, (content,), batches if self._parts else None

    def _signature(self, pairs: Pairs) -> str:
        """The metric's signature with what pairs bring along."""
        given = {"references": pairs.references_of, "context": pairs.contexts}
        brought = to_signature(
            {name: None if value is None else "yes" for name, value in given.items()}
        )
        return f"{self.signature}|{brought}" if brought else self.signature

    def _encode(self, pairs: Pairs, *, long_text: LongText | None = None) -> Encoded:
        encoded = self._pipeline.encode(pairs, long_text=long_text)
        return encoded if self._reader is None else self._reader.read(encoded)

    def _score(self, pairs: Pairs) -> Scores:
        if pairs.references_of is not None and self.scale != "clipscore":
            raise OptionError(
                f"references are given and the scale is {self.scale!r}; RefCLIPScore is "
                "defined on the scale 'clipscore' (Hessel et al. 2021)"
            )
        if pairs.references_of is not None and self.purpose_weight is not None:
            raise OptionError(
                f"references are given and purpose_weight is {self.purpose_weight}; no score "
                "combines the two: drop one of them, and read the purpose beside the score"
            )
        return self._scores(self._encode(pairs))

    def _scores(self, encoded: Encoded) -> Scores:
        return score(
            encoded,
            scale=self.scale,
            readouts=self.readouts,
            purpose_weight=self.purpose_weight,
            signature=self._signature(encoded.pairs),
        )

    @property
    def _reading(self) -> Pipeline:
        """What reads purposes."""
        if self._reader is None:
            return self._pipeline
        return replace(self._reader.pipeline, clean=self.clean)

    @cached_property
    def _explainer(self) -> Explainer:
        return Explainer(
            name=self.checkpoint.name,
            pipeline=self._pipeline,
            purpose=self.purpose_subspace,
            signature=self.signature,
        )

    @cached_property
    def _purpose_explainer(self) -> Explainer:
        if self._reader is None:
            return self._explainer
        return Explainer(
            name=self._reader.identity,
            pipeline=self._reader.pipeline,
            purpose=self._reader.purpose,
            signature=self.signature,
        )


def _remake(content: str) -> DescriptionScore:
    arguments, signature = json.loads(content).values()
    if arguments["cache"] is not None:
        folder, max_bytes = arguments["cache"]
        arguments["cache"] = EmbeddingCache(folder, max_bytes=max_bytes)
    metric = DescriptionScore(**arguments)
    then, now = map(signature_parts, (signature, metric.signature))
    for part in ("checkpoint", "base", "purpose"):
        if then.get(part) != now.get(part):
            raise CheckpointError(
                f"the pickled metric scored with {part} {then.get(part)!r}, which is now "
                f"{now.get(part)!r}; make a new metric"
            )
    return metric


def _embeddings(
    values: Float[torch.Tensor, "item width"], errors: Sequence[Problem | None]
) -> Embeddings:
    array = values.cpu().numpy()
    array[[error is not None for error in errors]] = np.nan
    return Embeddings(values=array, errors=tuple(errors))
