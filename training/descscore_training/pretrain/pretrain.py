"""Train a small CLIP from scratch on labelled photos, photos with texts, and pairs of texts.

A step draws a batch from every source and adds two contrastive losses (Radford et al. 2021): images
against texts, and, for sources without images, texts against texts. Labels become sentences through
templates, and all images of one label share one sentence and are its positives, so that a batch
encodes each text once (Khosla et al. 2020, supervised contrastive learning).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import torch
from tqdm import tqdm

from descscore.checkpoints.attach import quiet_transformers
from descscore.inputs.transform import ImageTransform
from descscore_training.pretrain.corpus import Corpus, load_corpus
from descscore_training.pretrain.lessons import prepare_lessons
from descscore_training.pretrain.recipe import Architecture, PretrainRecipe
from descscore_training.pretrain.run import ContrastiveRun
from descscore_training.run_folder import claim_run, load_state, log, save_state, truncate_log

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from transformers import CLIPModel, CLIPTokenizer


def pretrain(
    recipe: PretrainRecipe, data: Path, out: Path, *, device: str = "cpu", progress: bool = True
) -> Path:
    """Train a CLIP and save it in transformers' format, weights in float16.

    Called again with the same folder, an interrupted run resumes from its last saved state and ends
    with the same weights, since every step's batch depends only on the seed and
    the step. Two runs differ in the vocabulary, whose learner breaks ties at random.

    Args:
        recipe: the recipe.
        data: the folder that the sources' paths are relative to.
        out: the folder for the model, the log (`metrics.jsonl`) and the state.
        device: where to train; bfloat16 autocast on all.
        progress: whether to show a live line on stderr.

    Returns:
        The folder of the finished model, `out/model`.

    Raises:
        RecipeError: a source is missing or malformed, or `out` contains a run of another recipe.
    """
    claim_run(out, recipe)
    size = recipe.architecture.image_size
    transform = ImageTransform(resize=size, crop=(size, size))
    corpus = load_corpus(recipe, data, transform)
    tokenizer = _tokenizer(recipe, corpus, out / "tokenizer")
    torch.manual_seed(recipe.seed)
    model = build_clip(recipe.architecture, tokenizer, device)
    lessons = None
    if recipe.teacher is not None:
        lessons = prepare_lessons(recipe, recipe.teacher, corpus, out / "teacher")
    run = ContrastiveRun(recipe, corpus, transform, tokenizer, model, lessons)
    state = load_state(out)
    first = run.load(state) if state else 0
    truncate_log(out, first)
    started = time.monotonic()
    steps = tqdm(
        range(first, recipe.schedule.steps),
        initial=first,
        total=recipe.schedule.steps,
        disable=not progress,
        unit="step",
        mininterval=2,
    )
    for step in steps:
        losses = run.step(step)
        if (step + 1) % 50 == 0:
            steps.set_postfix({name: f"{loss:.3f}" for name, loss in losses.items()})
        last = step + 1 == recipe.schedule.steps
        if (step + 1) % recipe.schedule.save_every == 0 or last:
            record = {"step": step + 1, **losses, **run.validate(), "s": time.monotonic() - started}
            log(out, record)
            save_state(out, run.state(step + 1))
    if recipe.architecture.cosine_offset:
        run.offset_cosines(recipe.architecture.cosine_offset)
    folder = out / "model"
    _export(model, tokenizer, recipe.architecture, folder)
    return folder


def build_clip(architecture: Architecture, tokenizer: CLIPTokenizer, device: str) -> CLIPModel:
    """A randomly initialised CLIP in float32."""
    from transformers import CLIPConfig, CLIPModel

    tower = {
        "hidden_size": architecture.width,
        "intermediate_size": 4 * architecture.width,
        "num_hidden_layers": architecture.layers,
        "num_attention_heads": architecture.heads,
        # One kernel forwards and one backwards; quick_gelu takes three each way.
        "hidden_act": "gelu",
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": architecture.window,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": architecture.image_size, "patch_size": architecture.patch_size}
    config = CLIPConfig(
        text_config=tower | text,
        vision_config=tower | vision,
        projection_dim=architecture.projection,
    )
    # On a CPU in bfloat16, PyTorch's fused attention runs backwards far slower than plain products.
    attention = "eager" if device == "cpu" else "sdpa"
    with torch.device(device):
        return CLIPModel._from_config(config, attn_implementation=attention)


def _tokenizer(recipe: PretrainRecipe, corpus: Corpus, folder: Path) -> CLIPTokenizer:
    """The run's vocabulary, learned once: its learner settles ties at random."""
    from transformers import CLIPTokenizer

    if not folder.exists():
        unfinished = folder.with_suffix(".tmp")
        train_tokenizer(
            corpus.all_texts(),
            vocabulary=recipe.architecture.vocabulary,
            window=recipe.architecture.window,
        ).save_pretrained(unfinished)
        unfinished.replace(folder)
    return CLIPTokenizer.from_pretrained(folder)


def _export(
    model: CLIPModel, tokenizer: CLIPTokenizer, architecture: Architecture, folder: Path
) -> None:
    from transformers import CLIPImageProcessorPil

    size = architecture.image_size
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    )
    with quiet_transformers():
        model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Half as long without its line breaks.
    vocabulary = folder / "tokenizer.json"
    content = json.loads(vocabulary.read_text("utf-8"))
    vocabulary.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    processor.save_pretrained(folder)


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
