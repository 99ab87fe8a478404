"""Pixel shuffling out of repeated pixels: how a `VQModel` level can start as an inverse.

An upsampling level repeats each pixel as a 2x2 cell and convolves. No convolution can tell the
four pixels of such a cell apart where the picture is even, so none can shuffle. Two residual
blocks can: the first finds the phase of each pixel, because repeated pixels are equal to one
neighbour and not to the other; the second has hidden channels for each of the four phases that
are shut in the other three, and writes to every pixel what belongs there. Once found, a phase
alternates from pixel to pixel, so that finer levels find theirs in that pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

CONSTANT = 16.0  # of the channels that keep the scale of a normalisation group steady
# How much smaller than usual a difference may be and still tell the phase: in the picture, and in
# the pattern of coarser phases, where all are alike. More would make training unsteady.
EDGE_GAINS = {"picture": 20.0, "pattern": 10.0}
PHASE_GAINS = {"picture": 40.0, "pattern": 10.0}
SHUT = 20.0  # how far below 0 a hidden channel lies that is shut
SLOPE = 0.05  # SiLU(x / 20) is nearly x / 40; where weights are large, training moves slowly
PROJECTIONS = 3
RIDGE = 1e-5  # of the mean square of what is fitted from
FIT_ROWS = 40_000


@dataclass
class Stream:
    """The channels that a level hands on.

    Attributes:
        state: (N, C, H, W), what the model gives at this place.
        content: Channels that hold the picture.
        phases: Channels that hold the horizontal and the vertical phase, -1 or 1; empty where
            nothing is known yet.
    """

    state: torch.Tensor
    content: list[int]
    phases: list[int]


@dataclass
class _Layout:
    """Which channel holds what: content, target, phases, edges, constants."""

    content: list[int]
    target: list[int]
    phases: list[int]
    edges: list[int]
    constants: list[int]


def _layout(width: int, groups: int, content: int, target: int, edges: int) -> _Layout | None:
    """Return who lies where, or None where there is no room.

    Edges have groups of their own: with each beside its negative the mean there is 0, and no
    edge stays no edge through the normalisation.
    """
    size = width // groups
    constants = [g * size + size - 2 + i for g in range(groups) for i in range(2)]
    free = [c for c in range(width) if c not in constants]
    kept = -(-edges // (size - 2)) * (size - 2) if edges else 0
    free, spare = free[: len(free) - kept], free[len(free) - kept :]
    if content + target + 2 > len(free) or edges > len(spare):
        return None
    cuts = (content, content + target, content + target + 2)
    return _Layout(free[: cuts[0]], free[cuts[0] : cuts[1]], free[cuts[1] : cuts[2]],
                   spare[:edges], constants)


def start_shuffle(
    up: nn.Conv2d, finder: Any, writer: Any, stream: Stream, target: torch.Tensor
) -> Stream | None:
    """Set a level so that it turns what is in a stream into a finer picture, in place.

    Args:
        up: 3x3 convolution behind the repetition of pixels.
        finder: Residual block that finds the phases.
        writer: Residual block that writes the target; as wide as the finder's output.
        stream: What comes in.
        target: (N, T, 2 H, 2 W), features wanted, the leading ones first.

    Returns:
        What comes out, or None, with nothing changed, where the widths have no room for it.
    """
    groups = writer.norm1.num_groups
    sources = _phase_sources(stream, up, groups)
    count = min(target.shape[1], writer.out_channels // 5)
    held = len(stream.content)
    first = _layout(up.out_channels, groups, held, count, 8 * sources.shape[1])
    second = _layout(writer.in_channels, groups, held, count, 0)
    if finder.conv_shortcut is None:
        second = first
    if first is None or second is None or writer.in_channels != writer.out_channels:
        return None
    wanted = target[:, :count]
    repeated = functional.interpolate(stream.state, scale_factor=2.0, mode="nearest")
    _set_up(up, stream, sources, first, repeated, wanted)
    state = up(repeated)
    _set_finder(finder, state, first, second, "pattern" if stream.phases else "picture")
    state = finder(state, None)
    _set_writer(writer, state, second, wanted)
    return Stream(writer(state, None), second.target, second.phases)


def _phase_sources(stream: Stream, up: nn.Conv2d, groups: int) -> torch.Tensor:
    """Return the projections (2, J, C) in whose differences the two phases are looked for."""
    if stream.phases:
        sources = torch.zeros(2, 1, up.in_channels)
        sources[0, 0, stream.phases[0]] = sources[1, 0, stream.phases[1]] = 1.0
        return sources
    count = max(1, min(PROJECTIONS, (up.out_channels // groups - 2) // 8))
    generator = torch.Generator().manual_seed(0)
    scales = stream.state[:, stream.content].square().mean(dim=(0, 2, 3)).rsqrt()
    mixed = torch.zeros(count, up.in_channels)
    mixed[:, stream.content] = torch.randn(count, len(scales), generator=generator) * scales
    return mixed.expand(2, -1, -1)


def _set_up(
    up: nn.Conv2d, stream: Stream, sources: torch.Tensor, layout: _Layout,
    repeated: torch.Tensor, wanted: torch.Tensor,
) -> None:
    nn.init.zeros_(up.weight)
    assert up.bias is not None
    nn.init.zeros_(up.bias)
    for place, source in zip(layout.content, stream.content, strict=True):
        up.weight[place, source, 1, 1] = 1.0
    edges = iter(layout.edges)
    for axis in range(2):
        for source in sources[axis]:
            for step in (1, -1):  # to the next pixel, to the one before
                there = (1, 1 + step) if axis == 0 else (1 + step, 1)
                for sign in (1.0, -1.0):
                    place = next(edges)
                    up.weight[place, :, there[0], there[1]] = sign * source
                    up.weight[place, :, 1, 1] = -sign * source
    fit(up, repeated, wanted, layout.target)
    for index, place in enumerate(layout.constants):
        up.bias[place] = CONSTANT if index % 2 else -CONSTANT


def _group_moments(norm: Any, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return usual mean and standard deviation, per channel (C,), of what a norm divides by."""
    groups = state.unflatten(1, (norm.num_groups, -1)).flatten(2)
    size = state.shape[1] // norm.num_groups
    means, deviations = groups.mean(dim=2).mean(dim=0), groups.std(dim=2).mean(dim=0)
    return means.repeat_interleave(size), deviations.repeat_interleave(size)


def _set_finder(
    block: Any, state: torch.Tensor, before: _Layout, after: _Layout, kind: str
) -> None:
    """Write the sign of (change to the next pixel - change from the one before) to the phases."""
    shortcut = block.conv_shortcut
    if shortcut is not None:
        nn.init.zeros_(shortcut.weight)
        nn.init.zeros_(shortcut.bias)
        pairs = [*zip(before.content, after.content, strict=True),
                 *zip(before.target, after.target, strict=True)]
        for source, place in pairs:
            shortcut.weight[place, source, 0, 0] = 1.0
        for index, place in enumerate(after.constants):
            shortcut.bias[place] = CONSTANT if index % 2 else -CONSTANT
    _, deviations = _group_moments(block.norm1, state)
    for place in before.edges:
        usual = state[:, place].square().mean().sqrt()
        block.norm1.weight[place] = EDGE_GAINS[kind] * deviations[place] / usual
    size = block.out_channels // block.norm2.num_groups
    share = size // 4 * 4
    half = len(before.edges) // 2
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    for axis, place in enumerate(after.phases):
        hidden = slice(axis * size, (axis + 1) * size)
        block.conv1.weight[hidden] = 0.0
        block.conv1.bias[hidden] = 0.0
        block.norm2.weight[hidden] = PHASE_GAINS[kind]
        for index in range(share):
            sign = 1.0 if index % 2 else -1.0  # both signs: the mean of the group is 0
            shift = 1.0 if index % 4 < 2 else -1.0
            channel = axis * size + index
            for number, edge in enumerate(before.edges[axis * half : (axis + 1) * half]):
                forward = 1.0 if number % 4 < 2 else -1.0
                block.conv1.weight[channel, edge, 1, 1] = sign * forward / half
            block.norm2.bias[channel] = shift
            block.conv2.weight[place, channel, 1, 1] = sign * shift * 2 / share
        for index in range(share, size):
            block.norm2.weight[axis * size + index] = 0.0


def _set_writer(
    block: Any, state: torch.Tensor, layout: _Layout, wanted: torch.Tensor
) -> None:
    """Correct the target, phase by phase, by what the content tells of it."""
    means, deviations = _group_moments(block.norm1, state)
    usual = state.square().mean(dim=(0, 2, 3)).sqrt().clamp(min=1e-3)
    for place in (*layout.content, *layout.phases):
        block.norm1.weight[place] = SLOPE * deviations[place] / usual[place]
        block.norm1.bias[place] = SLOPE * means[place] / usual[place]
    size = block.conv1.out_channels // block.norm2.num_groups
    nn.init.zeros_(block.conv1.weight)
    nn.init.zeros_(block.conv1.bias)
    missing = wanted - state[:, layout.target]
    scaled = state[:, layout.content] / usual[layout.content, None, None]
    for phase in range(4):
        top, left = divmod(phase, 2)
        axes = _leading(scaled, missing, top, left, size // 2) / (SLOPE / 2)
        signs = torch.tensor([1.0 if left else -1.0, 1.0 if top else -1.0]) / (SLOPE / 2)
        for index in range(size // 2 * 2):
            channel, sign = phase * size + index, 1.0 if index % 2 else -1.0
            block.conv1.weight[channel, layout.content] = sign * axes[index // 2]
            block.conv1.weight[channel, layout.phases, 1, 1] = SHUT / 2 * signs
    hidden = block.conv1(block.nonlinearity(block.norm1(state)))
    means, deviations = _group_moments(block.norm2, hidden)
    block.norm2.weight.copy_(deviations)
    block.norm2.bias.copy_(means - SHUT)
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    fit(block.conv2, block.nonlinearity(block.norm2(hidden)), missing, layout.target)


def _windows(state: torch.Tensor, target: torch.Tensor, top: int = 0, left: int = 0,
             step: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 3x3 windows (R, 9 C) of a state and the target's values (R, T) in their centres.

    Of the grid that begins at (top, left) and has a step, places are drawn at random.
    """
    generator = torch.Generator().manual_seed(0)
    inputs, outputs = [], []
    height, width = state[0, 0, top::step, left::step].shape
    each = min(height * width, max(1, FIT_ROWS // len(state)))
    for one, wanted in zip(state, target, strict=True):
        windows = functional.unfold(functional.pad(one[None], [1] * 4), 3)[0]
        windows = windows.unflatten(1, state.shape[-2:])[:, top::step, left::step].flatten(1)
        picked = torch.randint(height * width, (each,), generator=generator)
        inputs.append(windows[:, picked].T)
        outputs.append(wanted[:, top::step, left::step].flatten(1)[:, picked].T)
    return torch.cat(inputs).double(), torch.cat(outputs).double()


def _solve(rows: torch.Tensor, results: torch.Tensor, ridge: float) -> torch.Tensor:
    """Return the matrix (in, out) that best maps rows onto results."""
    gram = rows.T @ rows / len(rows)
    eye = torch.eye(len(gram), dtype=gram.dtype)
    cross = rows.T @ results / len(rows)
    return torch.linalg.solve(gram + ridge * gram.diagonal().mean() * eye, cross)


def _leading(
    state: torch.Tensor, target: torch.Tensor, top: int, left: int, count: int
) -> torch.Tensor:
    """Return filters (count, C, 3, 3) that tell most of a target at one phase, of unit size."""
    rows, results = _windows(state, target, top, left, 2)
    found = _solve(rows, results, 1e-4)
    # The leading directions of what is told, not of the matrix: inputs are not alike.
    told = rows @ found
    axes = found @ torch.linalg.eigh(told.T @ told).eigenvectors.flip(1)[:, :count]
    sizes = (rows @ axes).square().mean(dim=0).clamp(min=1e-12).sqrt()
    shown = (axes / sizes).T.unflatten(1, (state.shape[1], 3, 3)).to(state)
    return functional.pad(shown, (0, 0) * 3 + (0, count - len(shown)))


def fit(
    conv: nn.Conv2d, state: torch.Tensor, target: torch.Tensor, places: list[int]
) -> None:
    """Set some outputs of a 3x3 convolution by least squares.

    Args:
        conv: The convolution.
        state: (N, C, H, W), what goes into it.
        target: (N, T, H, W), what should come out.
        places: The T channels in which it should.
    """
    rows, results = _windows(state, target)
    matrix = _solve(functional.pad(rows, (0, 1), value=1.0), results, RIDGE).T
    conv.weight[places] = matrix[:, :-1].unflatten(1, conv.weight.shape[1:]).to(conv.weight)
    assert conv.bias is not None
    conv.bias[places] = matrix[:, -1].to(conv.bias)
