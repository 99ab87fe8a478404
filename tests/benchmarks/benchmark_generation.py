"""Measures MSDM against a pipeline of the size of Stable Diffusion 1.5, in one run on one machine.

    python tests/benchmarks/benchmark_generation.py [--model FOLDER] [--json FILE]

Ratios are what counts; times belong to the machine and its load. The large pipeline has random
weights: they decide the picture, not the work. It runs at 256 x 256, as MSDM does, for 50 steps
with guidance; by default a few of these steps are timed and scaled to 50, and the table says so.
`--full` runs all of them.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

DEFAULT_MODEL = ROOT / "data" / "checkpoints" / "msdm-compact-gi"
PROMPT = "Generate an image containing a polyp located in the lower right."
IMAGE_PX = 256
LARGE_STEPS = 50
LARGE_GUIDANCE = 7.5
TEXT_TOKENS = 77


@dataclass(frozen=True)
class Cost:
    """What one image costs.

    Attributes:
        seconds: Wall time.
        tflop: Floating-point operations, in 10^12, a multiplication and an addition as two.
        parameters: Of all networks together.
        steps: Sampling steps.
        timed_steps: How many of them were timed; fewer than steps where the time was scaled.
    """

    seconds: float
    tflop: float
    parameters: int
    steps: int
    timed_steps: int


@dataclass(frozen=True)
class LargeSize:
    """Arguments of the large pipeline's networks."""

    unet: dict[str, Any]
    autoencoder: dict[str, Any]
    text: dict[str, Any]


# The configurations of Stable Diffusion 1.5: U-Net 859.5 M parameters, CLIP ViT-L/14 text tower
# 123.1 M, autoencoder 83.65 M.
SD15 = LargeSize(
    unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    autoencoder={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 512,
    },
    text={
        "vocab_size": 49408,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
)

# For a smoke test of this script; its figures mean nothing.
TINY = LargeSize(
    unet={
        "sample_size": 8,
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
        "block_out_channels": (32, 64, 64, 64),
        "layers_per_block": 1,
    },
    autoencoder={**SD15.autoencoder, "block_out_channels": (32, 32, 32, 32)},
    text={
        "vocab_size": 100,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 32,
    },
)


def matmul_peak(size: int = 2048, repeats: int = 8) -> float:
    """Returns the best rate of square float32 matrix products, in GFLOP/s."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    torch.mm(left, right)
    best = min(timed(lambda: torch.mm(left, right)) for _ in range(repeats))
    return 2 * size**3 / best / 1e9


def timed(work: Callable[[], object]) -> float:
    """Returns the wall time of a call in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def counted(work: Callable[[], object]) -> float:
    """Returns the floating-point operations of a call, in 10^12."""
    # The counter knows no fused attention of the CPU; in plain products it sees all of it.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def parameters(*models: torch.nn.Module) -> int:
    """Returns how many parameters models have together."""
    return sum(p.numel() for model in models for p in model.parameters())


def measure_msdm(folder: Path, repeats: int) -> Cost:
    """Returns the cost of one image at the checkpoint's default steps and guidance, all included.

    Args:
        folder: Checkpoint of an MSDM pipeline.
        repeats: Images timed after one that warms up; the median counts.
    """
    from msdm_core.msdm.pipeline import MSDMPipeline

    pipeline = MSDMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> None:
        pipeline(PROMPT, generator=torch.Generator("cpu").manual_seed(7))

    draw()
    steps = pipeline.config.default_steps
    return Cost(
        seconds=statistics.median(timed(draw) for _ in range(repeats)),
        tflop=counted(draw),
        parameters=parameters(pipeline.unet, pipeline.vae, pipeline.text_encoder),
        steps=steps,
        timed_steps=steps,
    )


def build_large(size: LargeSize) -> Any:
    """Returns a `StableDiffusionPipeline` with random weights and no tokenizer."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    text = CLIPTextConfig(max_position_embeddings=TEXT_TOKENS, **size.text)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(**size.autoencoder).eval(),
        text_encoder=CLIPTextModel(text).eval(),
        tokenizer=None,
        unet=UNet2DConditionModel(**size.unet).eval(),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def measure_large(pipeline: Any, image_px: int, timed_steps: int) -> Cost:
    """Returns the cost of one image of 50 guided steps.

    Text, denoising and decoding run as in the pipeline's own call, which is given the states of a
    prompt and of the empty one. The time of the steps is that of `timed_steps` of them, the first
    left out when there are more, scaled to 50; text and decoding are timed in full.

    Args:
        pipeline: From `build_large`.
        image_px: Width and height.
        timed_steps: Steps that are run; 50 runs the whole image.
    """
    ids = torch.randint(0, pipeline.text_encoder.config.vocab_size, (2, TEXT_TOKENS))
    states: list[torch.Tensor] = []

    def encode() -> None:
        states[:] = pipeline.text_encoder(input_ids=ids).last_hidden_state.split(1)

    encode()
    text_s = timed(encode)
    marks: list[float] = []

    def mark(_pipe: Any, _index: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        marks.append(time.perf_counter())
        return tensors

    def denoise(steps: int) -> torch.Tensor:
        marks[:] = [time.perf_counter()]
        return pipeline(
            prompt_embeds=states[1], negative_prompt_embeds=states[0], height=image_px,
            width=image_px, num_inference_steps=steps, guidance_scale=LARGE_GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(7), output_type="latent",
            callback_on_step_end=mark,
        ).images  # fmt: skip

    latents = denoise(timed_steps)
    durations = [later - earlier for earlier, later in itertools.pairwise(marks)]
    if timed_steps < LARGE_STEPS:
        steady = durations[1:] or durations
        steps_s = LARGE_STEPS * statistics.mean(steady)
    else:
        steps_s = sum(durations)

    def decode() -> None:
        pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor)

    decode_s = timed(decode)
    tflop = counted(encode) + LARGE_STEPS * counted(lambda: denoise(1)) + counted(decode)
    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    return Cost(text_s + steps_s + decode_s, tflop, parameters(*networks), LARGE_STEPS, timed_steps)


def table(msdm: Cost, large: Cost, peak_gflops: float, name: str) -> str:
    """Returns the figures as Markdown."""
    rate = msdm.tflop * 1e3 / msdm.seconds
    scaled = f", scaled from {large.timed_steps}" if large.timed_steps < large.steps else ""
    rows = [
        ("", name, "SD 1.5 size", "ratio"),
        ("---", "---", "---", "---"),
        ("parameters", f"{msdm.parameters / 1e6:.1f} M", f"{large.parameters / 1e6:.1f} M",
         f"{large.parameters / msdm.parameters:.0f}"),
        ("steps", str(msdm.steps), f"{large.steps}{scaled}", ""),
        ("TFLOP an image", f"{msdm.tflop:.3f}", f"{large.tflop:.1f}",
         f"{large.tflop / msdm.tflop:.0f}"),
        ("seconds an image", f"{msdm.seconds:.2f}", f"{large.seconds:.0f}",
         f"{large.seconds / msdm.seconds:.0f}"),
    ]  # fmt: skip
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += [
        "",
        f"Matrix-multiply peak measured in this run: {peak_gflops:.1f} GFLOP/s on "
        f"{torch.get_num_threads()} threads; {name} reaches {rate:.1f} GFLOP/s, "
        f"{rate / peak_gflops:.0%} of it.",
    ]
    return "\n".join(lines)


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description="Measures MSDM against an SD-1.5-sized pipeline.")
    add = parser.add_argument
    add("--model", type=Path, default=DEFAULT_MODEL, metavar="FOLDER", help="MSDM checkpoint")
    add("--repeats", type=int, default=5, metavar="N", help="MSDM images timed (default 5)")
    add("--large-steps", type=int, default=3, metavar="N",
        help="steps of the large pipeline that are timed (default 3)")  # fmt: skip
    add("--full", action="store_true", help="time all 50 steps of the large pipeline")
    add("--tiny", action="store_true", help="a toy in the large one's place, to try this script")
    add("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    if options.repeats < 1 or not 1 <= options.large_steps <= LARGE_STEPS:
        parser.error(f"--repeats must be 1 or more, --large-steps 1 to {LARGE_STEPS}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark and prints its table."""
    options = read_options(arguments)
    peak = matmul_peak(256 if options.tiny else 2048)
    msdm = measure_msdm(options.model, options.repeats)
    steps = LARGE_STEPS if options.full else options.large_steps
    size_px = 64 if options.tiny else IMAGE_PX
    large = measure_large(build_large(TINY if options.tiny else SD15), size_px, steps)
    peak = max(peak, matmul_peak(256 if options.tiny else 2048))
    print(table(msdm, large, peak, options.model.name))
    if options.json:
        figures = {
            "msdm": asdict(msdm),
            "sd15_size": asdict(large),
            "is_scaled": steps < LARGE_STEPS,
            "wall_ratio": large.seconds / msdm.seconds,
            "flop_ratio": large.tflop / msdm.tflop,
            "matmul_peak_gflops": peak,
            "msdm_share_of_peak": msdm.tflop * 1e3 / msdm.seconds / peak,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
