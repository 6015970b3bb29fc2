"""The loop: fine-tunes a CLIP to an objective, and can be interrupted anywhere."""

from __future__ import annotations

import math
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from descscore.errors import RecipeError
from descscore.heartbeat import heartbeat
from descscore_training.choice import read_log
from descscore_training.config import leaves, plain
from descscore_training.finetuning import (
    add_updates_to_weights,
    build_step,
    check_optimiser,
    find_base,
    load_base,
    optimiser_of,
    restore,
    schedule_for,
    trainable,
)
from descscore_training.pairs.bank import load_banks
from descscore_training.pairs.pixels import pixels_beside
from descscore_training.pairs.sampling import pairs_at
from descscore_training.pairs.sources import digest_of, load_data
from descscore_training.probe_training import teach_reader
from descscore_training.processes import accelerated
from descscore_training.run_folder import (
    claim_run,
    kept_step,
    load_state,
    lock_run,
    log,
    pin,
    save_best,
    save_state,
    truncate_log,
)
from descscore_training.step import check_site
from descscore_training.validation import TransferTask, preference, validate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accelerate import Accelerator
    from torch import Tensor

    from descscore_training.choice import Choice, Evaluation
    from descscore_training.finetune_recipe import FinetuneRecipe

_LOG_EVERY = 10
_TOO_FAST = "lower optimiser.lr, or set optimiser.clip_norm"


def train(
    recipe: FinetuneRecipe,
    data: Path,
    out: Path,
    *,
    device: str = "auto",
    progress: bool = True,
    trackers: Sequence[str] = (),
    pixels: Path | None = None,
) -> Choice:
    """Fine-tune a CLIP and keep the step with the best trade-off.

    With the same folder an interrupted run resumes from its last evaluation, and ends with the
    weights of an uninterrupted one. Under `accelerate launch` each
    process takes an equal part of every batch.

    Args:
        recipe: what to train, to what, on what, for how long.
        data: the folder that the recipe's paths are relative to.
        out: where the log (`metrics.jsonl`), the chosen step (`best.safetensors`) and the state go.
        device: "auto" or "cpu"; with "auto" accelerate takes what there is.
        progress: whether to show a live line on stderr, or one line per evaluation if that is not
            a terminal.
        trackers: "tensorboard" or "wandb": also send the metrics there.
        pixels: the file for decoded images if the vision tower is trained, by default in `out`;
            those of transfer tasks are beside it. Runs one after the other may share it.

    Returns:
        The chosen step, with what was measured at it.

    Raises:
        RecipeError: the recipe, the data and the model do not fit each other, or `out` holds a run
            of another recipe.
        CheckpointError: the base cannot be loaded.
        OptionError: the device is another one or cannot be changed to, processes that were
            launched together would train alone, or another process trains in `out`.
        MissingExtraError: a tracker is not installed.
    """
    with (
        accelerated(device, recipe.duration.accumulate, trackers, out) as accelerator,
        lock_run(out) if accelerator.is_main_process else nullcontext(),
    ):
        if accelerator.is_main_process:
            claim_run(out, recipe)
            pin(out, "base", find_base(recipe).identity)
        accelerator.wait_for_everyone()
        cache = out / "pixels.npy" if pixels is None else pixels
        run = _Run(recipe, data, out, accelerator, pixels=cache, progress=progress)
        if trackers:
            accelerator.init_trackers(
                "descscore",
                {
                    name: value if isinstance(value, bool | int | float | None) else str(value)
                    for name, value in leaves(plain(recipe))
                },
            )
        cuda = [accelerator.device] if accelerator.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=cuda):
                run.go()
        finally:
            if trackers:
                accelerator.end_training()
        return run.choice()


class _Run:
    """All that a run needs, set up so that every process does the same."""

    def __init__(
        self,
        recipe: FinetuneRecipe,
        data: Path,
        out: Path,
        accelerator: Accelerator,
        *,
        pixels: Path,
        progress: bool,
    ) -> None:
        self.recipe = recipe
        self.out = out
        self.accelerator = accelerator
        self.progress = progress and accelerator.is_main_process
        # A bar in a file would be thousands of lines.
        self.live = self.progress and sys.stderr.isatty()
        self.saved = time.monotonic()
        pairs = load_data(recipe, data)
        self.tasks = [TransferTask(source, data) for source in recipe.transfer]
        # What can be refused or warned about at once is, before images are decoded.
        first, duration = pairs.training[0], recipe.duration
        steps = duration.steps(len(first.captions), first.batch)
        if duration.evaluate_every > steps:
            self._say(
                f"duration.evaluate_every is {duration.evaluate_every:,} and the run has "
                f"{steps:,} steps: only the last is evaluated"
            )
        recipe.check_parts(sum(part.batch for part in pairs.training), accelerator.num_processes)
        check_optimiser(recipe.optimiser)
        if accelerator.is_main_process:
            transfer = digest_of([task.digest for task in self.tasks])
            for what, digest in (pairs.digests(data) | {"transfer": transfer}).items():
                pin(out, what, digest)
        self.clip = load_base(recipe, accelerator.device)
        check_site(recipe.objective, self.clip.model)
        keep = recipe.images_keep
        read = (
            teach_reader(recipe.reader, pairs.training, recipe.seed, out) if recipe.reader else ()
        )
        # One process decodes what the others then find.
        with accelerator.main_process_first():
            self.training, self.validation, self.watched, unreadable = load_banks(
                pairs, self.clip, keep=keep, cache=pixels, progress=self.live, read=read
            )
        # Only one process evaluates.
        for task in self.tasks if accelerator.is_main_process else ():
            cache = pixels_beside(pixels, f"validation {task.name}")
            task.load(self.clip, keep=keep, cache=cache)
        self.step, adapted = build_step(self.clip, recipe)
        if adapted is not None and not recipe.tuning.dropout:
            add_updates_to_weights(adapted)
        self.optimiser = optimiser_of(self.step, recipe.optimiser)
        of_first = (self.training.sizes[0], first.batch)
        self.epoch_steps, self.steps = duration.epoch_steps(*of_first), duration.steps(*of_first)
        self.schedule = schedule_for(recipe.optimiser, self.optimiser, self.steps)
        self.module, self.optimiser = accelerator.prepare(self.step, self.optimiser)
        self._say(pairs.report())
        if recipe.optimiser.warmup >= self.steps:
            self._say(
                f"optimiser.warmup is {recipe.optimiser.warmup:,} and the run has {self.steps:,} "
                "steps: the learning rate does not get to optimiser.lr"
            )
        for path, why in unreadable.items():
            self._say(f"skipped: {path} {why}")
        if self.training.truncated:
            self._say(f"{self.training.truncated:,} training texts are cut to the model's window")

    def go(self) -> None:
        """Train to the end, from the start or from the last saved state."""
        state = load_state(self.out)
        done = 0 if state is None else self._take_up(state)
        if self.accelerator.is_main_process:
            truncate_log(self.out, -1 if state is None else done)
        self.accelerator.wait_for_everyone()
        if state is None:
            self._evaluate(0)
        elif self.accelerator.is_main_process and self.choice().step == done != kept_step(self.out):
            # The run was killed after the state was saved and before these weights were.
            save_best(self.out, done, trainable(self.step))
        started = time.monotonic()
        bar = tqdm(
            initial=done, total=self.steps, unit="step", disable=not self.live, mininterval=1
        )
        shown = self._validated() if self.progress else ""
        lines = heartbeat(
            lambda: f"step {done:,} of {self.steps:,}",
            self._say,
            shown=self.progress and not self.live,
        )
        with bar, lines:
            while done < self.steps and not self._ran_out_of_patience(done):
                losses = self._take_step(done)
                done += 1
                bar.update()
                last = done == self.steps
                if done % _LOG_EVERY == 0 or last:
                    elapsed = round(time.monotonic() - started, 3)
                    self._log({"kind": "train", "step": done, **losses, "seconds": elapsed})
                    bar.set_postfix_str(f"loss {losses['loss']:.3f}, {shown}")
                if self._is_evaluated(done):
                    self._evaluate(done)
                    shown = self._validated() if self.progress else ""
                    if not self.live:
                        seconds = time.monotonic() - started
                        self._say(
                            f"step {done:,} of {self.steps:,}, {seconds:,.0f} s: "
                            f"loss {losses['loss']:.3f}, {shown}"
                        )
        if done < self.steps:
            patience = self.recipe.duration.patience
            self._say(
                f"stopped after step {done:,} of {self.steps:,}: for {patience:g} epochs "
                "validation preference has not risen (duration.patience)"
            )

    def choice(self) -> Choice:
        """The step with the best trade-off so far."""
        return self.recipe.choose(self._evaluations())

    def _take_step(self, step: int) -> dict[str, float]:
        """One optimiser step, over a batch in equal parts."""
        accelerator, recipe = self.accelerator, self.recipe
        # All that is random is a function of the seed and the step, so a state need not hold it.
        entropy = np.random.SeedSequence([recipe.seed, step, accelerator.process_index])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        random = np.random.default_rng([recipe.seed, step])
        picked = pairs_at(step, self.training.sizes, self.training.batch_sizes, recipe.seed)
        # Before the batch is parted: which image stands in for a pair does not depend on the parts.
        stand_ins = self.training.draw_stand_ins(len(picked), random)
        parts = recipe.duration.accumulate
        mixed = recipe.duration.precision == "bfloat16"
        losses: dict[str, Tensor] = {}
        mean = torch.zeros((), device=accelerator.device)
        self.module.train()
        for part in range(parts):
            first = accelerator.process_index * parts + part
            mine = slice(first, None, accelerator.num_processes * parts)
            if first:
                # Else all parts would draw the same probes, anchors and tokens to leave out.
                random = np.random.default_rng([recipe.seed, step, 0, first])
            batch = self.training.batch(
                picked[mine],
                random,
                stand_ins=stand_ins[mine],
                probes=recipe.objective.relevance_weight > 0,
                token_dropout=recipe.tuning.token_dropout,
            )
            with accelerator.accumulate(self.module):
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=mixed):
                    losses = self.module(batch)
                accelerator.backward(losses["loss"])
                if accelerator.sync_gradients and (norm := recipe.optimiser.clip_norm):
                    accelerator.clip_grad_norm_(self.module.parameters(), norm)
                self.optimiser.step()
                self.optimiser.zero_grad()
            mean = mean + torch.stack([loss.detach() for loss in losses.values()]) / parts
        self.schedule.step()
        shared: Any = accelerator.reduce(mean, "mean")
        values = dict(zip(losses, shared.tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise RecipeError(f"the loss at step {step + 1} is {values['loss']}; {_TOO_FAST}")
        return values

    def _evaluate(self, step: int) -> None:
        """Measure, log, save the state, and keep the weights if the choice falls on this step."""
        if self.accelerator.is_main_process:
            # Without autocast: in float32, as texts are scored.
            try:
                measured = validate(self.step, self.validation, self.tasks, seed=self.recipe.seed)
                if self.watched is not None:
                    measured["watched"] = preference(self.step, self.watched)
            except FloatingPointError as error:
                raise RecipeError(f"at step {step} {error}; {_TOO_FAST}") from error
            epoch = round(step / self.epoch_steps, 4)
            self._log({"kind": "validation", "step": step, "epoch": epoch, **measured})
            # At step 0 nothing is kept, but a choice that cannot be made is refused here.
            chosen = self.choice().step
            due = time.monotonic() - self.saved >= 60 * self.recipe.duration.save_minutes
            if step and (chosen == step or step == self.steps or due):
                # In this order: from the state alone a run that was killed can keep the weights.
                save_state(self.out, self._state(step))
                self.saved = time.monotonic()
                if chosen == step:
                    save_best(self.out, step, trainable(self.step))
        self.accelerator.wait_for_everyone()

    def _is_evaluated(self, step: int) -> bool:
        return step % self.recipe.duration.evaluate_every == 0 or step == self.steps

    def _evaluations(self) -> list[Evaluation]:
        return read_log(self.out / "metrics.jsonl")

    def _ran_out_of_patience(self, step: int) -> bool:
        """Whether validation preference has not risen for too long, looked at after evaluations."""
        patience = self.recipe.duration.patience
        if not (patience and step and self._is_evaluated(step)):
            return False
        seen = self._evaluations()
        best = max(seen, key=lambda evaluation: evaluation.preference)
        return seen[-1].epoch - best.epoch >= patience

    def _validated(self) -> str:
        """The last evaluation, for the live line."""
        return f"validation preference {self._evaluations()[-1].preference:.3f}"

    def _state(self, step: int) -> dict[str, Any]:
        state: dict[str, Any] = {"step": step, "parameters": trainable(self.step)}
        if step == self.steps:
            # Nothing resumes from here, and the optimiser's moments take two thirds of the room.
            return state
        return state | {
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def _take_up(self, state: dict[str, Any]) -> int:
        restore(self.step, state["parameters"])
        if state["step"] < self.steps:
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
        return state["step"]

    def _log(self, record: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            log(self.out, record)
            if self.accelerator.trackers:
                values = {
                    f"{record['kind']}/{name}": value
                    for name, value in leaves(record)
                    if isinstance(value, float)
                }
                self.accelerator.log(values, step=record["step"])

    def _say(self, text: str) -> None:
        if self.progress:
            tqdm.write(text, file=sys.stderr)
