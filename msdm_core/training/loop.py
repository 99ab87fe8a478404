"""The loop that every training command runs: resumable, time-limited, averaged, logged."""

from __future__ import annotations

import fcntl
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from diffusers.training_utils import EMAModel
from torch import nn

from msdm_core.errors import TrainingError
from msdm_core.training.randomness import StepRandom, step_random
from msdm_core.training.state import (
    flatten_optimizer,
    fsync_folder,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    unflatten_optimizer,
)

LOG_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class LoopOptions:
    """How long, how fast and how often.

    Attributes:
        seed: Seed of every random choice of the run.
        batch_size: Samples a step on each process.
        learning_rate: Peak learning rate of Adam.
        warmup_steps: Steps of linear warm-up.
        decay_after_steps: From here the rate falls as 1/sqrt(step) (0: never).
        ema_decay: Decay of the averaged weights, approached as (1+step)/(10+step).
        max_steps: Stop after so many steps (0: no limit).
        max_minutes: Stop after so many minutes of this call (0: no limit).
        checkpoint_minutes: Save state so often.
        sheet_minutes: Write a sample sheet and validation figures so often.
        mixed_precision: "no", "bf16" or "fp16"; half precision is for a GPU.
        gradient_clip: Largest gradient norm.
    """

    seed: int = 0
    batch_size: int = 16
    learning_rate: float = 5e-4
    warmup_steps: int = 200
    decay_after_steps: int = 0
    ema_decay: float = 0.999
    max_steps: int = 0
    max_minutes: float = 0.0
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 10.0
    mixed_precision: str = "no"
    gradient_clip: float = 1.0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step (Karras et al. 2024, arXiv:2312.02696, eq. 67)."""
        rate = self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup_steps))
        if self.decay_after_steps:
            rate /= math.sqrt(max(1.0, step / self.decay_after_steps))
        return rate


Losses = Iterator[tuple[str, torch.Tensor, dict[str, float]]]


class TrainingTask(Protocol):
    """What is trained: its parts, its losses, and what to show and keep of it."""

    name: str
    parts: dict[str, nn.Module]

    def config(self) -> dict[str, Any]:
        """Return what defines the run; a resumed run must give the same."""

    def losses(self, parts: dict[str, nn.Module], random: StepRandom) -> Losses:
        """Yield, part by part, the loss whose gradient steps that part, with figures to log."""

    def validate(self) -> dict[str, float]:
        """Return validation figures of the averaged weights, which are in place meanwhile."""

    def write_sheet(self, path: Path) -> None:
        """Write a picture that shows how far the averaged weights have come."""

    def export(self, folder: Path) -> None:
        """Write what was trained, with the averaged weights, as loadable folders."""


class TrainingRun:
    """One run in one folder: starts, resumes and ends a task."""

    def __init__(self, task: TrainingTask, folder: Path, options: LoopOptions) -> None:
        """Prepare a run and resume it where the folder holds one.

        Args:
            task: What to train.
            folder: Where checkpoints, metrics, sheets and the result go.
            options: The loop's options.

        Raises:
            TrainingError: The folder holds a run of another task or configuration.
        """
        self.task, self.folder, self.options = task, folder, options
        self.accelerator = Accelerator(
            mixed_precision=options.mixed_precision,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self._lock = self._lock_folder()
        self.step = 0
        self.samples = 0
        self.seconds = 0.0
        self.is_stopping = False
        self.ema: dict[str, EMAModel] = {}
        self.optimizers: dict[str, Any] = {}
        self.parts: dict[str, nn.Module] = {}
        try:
            self._write_config()
            for name in task.parts:
                self._prepare(name)
            self._resume()
        except BaseException:
            self._unlock()
            raise

    def _prepare(self, name: str) -> None:
        """Set up average and optimiser of a part, and put it where it is trained."""
        options, trained = self.options, self._trained(name)
        self.ema[name] = EMAModel(trained, decay=options.ema_decay)
        optimizer = torch.optim.Adam(
            trained, lr=options.learning_rate, betas=(0.9, 0.99), fused=True
        )
        self.parts[name], self.optimizers[name] = self.accelerator.prepare(
            self.task.parts[name], optimizer
        )
        self.ema[name].to(self.accelerator.device)

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.folder / "checkpoints"

    def _trained(self, name: str) -> list[nn.Parameter]:
        return [p for p in self.task.parts[name].parameters() if p.requires_grad]

    def _lock_folder(self) -> Any:
        """Return the open lock of the run's folder; it falls when the run ends or is killed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.accelerator.is_main_process:
            return None
        lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise TrainingError(
                f"Another process trains in {self.folder}. Stop it, or choose another --out."
            ) from error
        return lock

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def _kept(self, name: str) -> dict[str, torch.Tensor]:
        """Return what a checkpoint keeps of a part: trained parameters and buffers."""
        module = self.task.parts[name]
        kept = {k: v.data for k, v in module.named_parameters() if v.requires_grad}
        buffers = {k for k in module.state_dict() if k not in dict(module.named_parameters())}
        return kept | {k: v for k, v in module.named_buffers() if k in buffers}

    def _write_config(self) -> None:
        """Keep what defines the run, or refuse a folder in which that differs."""
        path = self.folder / "run.json"
        config = json.loads(json.dumps({"task": self.task.name, **self.task.config()}))
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            keys = sorted(k for k in {*before["config"], *config}
                          if before["config"].get(k) != config.get(k))
            if keys or before["seed"] != self.options.seed:
                raise TrainingError(
                    f"{self.folder} holds a run with other settings "
                    f"({', '.join(keys) or 'seed'} differ). "
                    "Resume it with the settings in its run.json, or choose another --out."
                )
            return
        if self.accelerator.is_main_process:
            record = {
                "config": config,
                "seed": self.options.seed,
                "options": asdict(self.options),
                "commit": git_commit(),
                "command": sys.argv[1:],
                "torch": torch.__version__,
                "processes": self.accelerator.num_processes,
                "device": str(self.accelerator.device),
            }
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(record, indent=2), encoding="utf-8")
            partial.rename(path)

    def _resume(self) -> None:
        found = list_checkpoints(self.checkpoints)
        if not found:
            return
        tensors, state = load_checkpoint(found[-1])
        for name, module in self.task.parts.items():
            # What is frozen is not kept in checkpoints; all else must be there.
            wanted = set(self._kept(name))
            if wanted != set(tensors[f"{name}.model"]):
                raise TrainingError(f"{found[-1]} does not hold the weights of {name}.")
            module.load_state_dict(tensors[f"{name}.model"], strict=False)
            shadow = tensors[f"{name}.ema"]
            for index, value in enumerate(self.ema[name].shadow_params):
                value.data.copy_(shadow[str(index)])
            self.ema[name].optimization_step = state["step"]
            self.optimizers[name].load_state_dict(
                unflatten_optimizer(tensors[f"{name}.optimizer"], state["optimizers"][name])
            )
        self.step, self.samples = state["step"], state["samples"]
        self.seconds = state["seconds"]
        self.say(f"resumed at step {self.step} from {found[-1]}")

    def save(self) -> None:
        """Write a checkpoint of this moment."""
        if not self.accelerator.is_main_process:
            return
        tensors: dict[str, dict[str, torch.Tensor]] = {}
        optimizers: dict[str, Any] = {}
        for name in self.task.parts:
            tensors[f"{name}.model"] = self._kept(name)
            shadow = self.ema[name].shadow_params
            tensors[f"{name}.ema"] = {str(i): v.data for i, v in enumerate(shadow)}
            tensors[f"{name}.optimizer"], optimizers[name] = flatten_optimizer(
                self.optimizers[name].state_dict()
            )
        state = {"samples": self.samples, "seconds": self.seconds, "optimizers": optimizers}
        save_checkpoint(self.checkpoints, self.step, tensors, state)

    def train(self) -> None:
        """Run until a limit or a signal, then save, show and export.

        SIGINT and SIGTERM end the run after the step in hand, with its state saved.
        """
        handlers = {s: signal.signal(s, self._ask_to_stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._train()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._unlock()

    def _ask_to_stop(self, *_: object) -> None:
        self.is_stopping = True

    def _train(self) -> None:
        start = last_log = last_save = last_sheet = time.monotonic()
        base_seconds, first_step = self.seconds, self.step
        recent: dict[str, list[float]] = {}
        while not self._is_done(time.monotonic() - start):
            for name, value in self._one_step().items():
                recent.setdefault(name, []).append(value)
            now = time.monotonic()
            self.seconds = base_seconds + now - start
            if now - last_log >= LOG_EVERY_S:
                self._log(recent, (self.step - first_step) / (now - start), now - start)
                recent, last_log = {}, now
            if now - last_save >= self.options.checkpoint_minutes * 60:
                self.save()
                last_save = now
            if now - last_sheet >= self.options.sheet_minutes * 60:
                self.show()
                last_sheet = time.monotonic()
        if recent:
            elapsed = max(time.monotonic() - start, 1e-9)
            self._log(recent, (self.step - first_step) / elapsed, elapsed)
        self.save()
        self.show()
        self.export()

    def _is_done(self, elapsed_s: float) -> bool:
        options = self.options
        is_done = (
            self.is_stopping
            or bool(options.max_steps and self.step >= options.max_steps)
            or bool(options.max_minutes and elapsed_s >= options.max_minutes * 60)
        )
        if self.accelerator.num_processes > 1:  # clocks differ: all end at one step, or none
            told = torch.tensor(float(is_done), device=self.accelerator.device)
            is_done = bool(self.accelerator.reduce(told, "sum") > 0)
        return is_done

    def _one_step(self) -> dict[str, float]:
        rate = self.options.rate(self.step)
        random = step_random(self.options.seed, self.step, self.accelerator.process_index)
        # Dropout draws from the global generator, which a resumed run must find the same.
        torch.manual_seed(random.torch.initial_seed())
        figures: dict[str, float] = {}
        for name, loss, logs in self.task.losses(self.parts, random):
            optimizer = self.optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad()
            self.accelerator.backward(loss)
            norm = self.accelerator.clip_grad_norm_(
                self._trained(name), self.options.gradient_clip
            )
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(
                    f"The loss of {name} became {value} at step {self.step}. The last checkpoint "
                    "is intact: resume with a lower --learning-rate."
                )
            optimizer.step()
            self.ema[name].step(self._trained(name))
            figures |= {f"{name}_loss": value, f"{name}_gradient": float(norm), **logs}
        self.step += 1
        self.samples += self.options.batch_size * self.accelerator.num_processes
        return figures

    def _log(self, recent: dict[str, list[float]], rate: float, elapsed_s: float) -> None:
        means = {name: sum(values) / len(values) for name, values in recent.items()}
        self.write_metrics({"kind": "train", **means})
        text = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        left = self._time_left(rate, elapsed_s)
        samples_per_s = rate * self.options.batch_size * self.accelerator.num_processes
        self.say(f"step {self.step}  {text}  {samples_per_s:.1f} samples/s{left}")

    def _time_left(self, rate: float, elapsed_s: float) -> str:
        options, left = self.options, []
        if options.max_minutes:
            left.append(options.max_minutes * 60 - elapsed_s)
        if options.max_steps and rate > 0:
            left.append((options.max_steps - self.step) / rate)
        return f"  {max(0.0, min(left)) / 60:.1f} min left" if left else ""

    def show(self) -> None:
        """Write validation figures and a sample sheet of the averaged weights."""
        if not self.accelerator.is_main_process:
            return
        with self.averaged():
            figures = self.task.validate()
            self.write_metrics({"kind": "validation", **figures})
            self.say("validation  " + "  ".join(f"{k} {v:.4g}" for k, v in figures.items()))
            sheets = self.folder / "sheets"
            sheets.mkdir(exist_ok=True)
            self.task.write_sheet(sheets / f"step-{self.step:08d}.png")

    def export(self) -> None:
        """Write the averaged weights as folders that load on their own."""
        if not self.accelerator.is_main_process:
            return
        final, partial = self.folder / "export", self.folder / ".export-partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        with self.averaged():
            self.task.export(partial)
        fsync_folder(partial)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        self.say(f"exported to {final}")

    def averaged(self) -> _Averaged:
        """Return a context in which the parts hold their averaged weights, in eval mode."""
        return _Averaged(self)

    def write_metrics(self, figures: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``."""
        if self.accelerator.is_main_process:
            line = {"step": self.step, "samples": self.samples,
                    "minutes": round(self.seconds / 60, 2), **figures}
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def say(self, text: str) -> None:
        """Print a line of progress, on the main process."""
        if self.accelerator.is_main_process:
            print(f"[{self.task.name}] {text}", file=sys.stderr, flush=True)


class _Averaged:
    """Puts averaged weights into the parts on entry and takes them out again on exit."""

    def __init__(self, run: TrainingRun) -> None:
        self.run = run

    def __enter__(self) -> None:
        for name, module in self.run.task.parts.items():
            parameters = self.run._trained(name)
            self.run.ema[name].store(parameters)
            self.run.ema[name].copy_to(parameters)
            module.eval()

    def __exit__(self, *_: object) -> None:
        for name, module in self.run.task.parts.items():
            self.run.ema[name].restore(self.run._trained(name))
            module.train()


def git_commit() -> str:
    """Return the commit of this source tree, or "unknown" outside a checkout."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True,
            text=True, check=True, timeout=10, env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
