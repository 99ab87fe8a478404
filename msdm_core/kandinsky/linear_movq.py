"""A linear start for `VQModel`: principal components in the encoder, least squares behind it.

The encoder carries the components of 16x16 pixels exactly. Its residual blocks are switched off
by zeros in their last convolution, so that only their 1x1 shortcuts act; the last normalisation
sees every channel together with its negative and with constants that dwarf both, so that it has
nothing to normalise; and SiLU(x) - SiLU(-x) = x takes the last activation out. Latents are then
known before any training, and the decoder can be trained without touching them.

The decoder inverts the encoder level by level: see `phase_shuffle` for how repeated pixels become
different ones. Its last level only smooths. It starts about a decibel below the components, since
a level is given fewer hidden channels than an exact inverse would need, and learns the rest.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import VQModel
from torch import nn
from torch.nn import functional

from msdm_core.kandinsky.phase_shuffle import Stream, fit, start_shuffle
from msdm_core.msdm.linear_autoencoder import as_rows, principal_axes

ENCODER_CONSTANT = 256.0  # latents stay below 16: they change the scale by less than 0.4 percent
DECODER_CONSTANT = 8.0  # smaller, since training must be able to leave it
FIT_IMAGES = 48


@torch.no_grad()
def linear_start(model: VQModel, images: torch.Tensor, *, whitening: float = 0.5) -> None:
    """Set the weights of a `VQModel` to principal components and their inverse, in place.

    Args:
        model: With group normalisation, one layer a block, no attention, widths that never
            shrink towards the latents, and room in the last two levels, which are equally wide,
            for every latent channel, its negative and two constants in each normalisation group.
        images: (N, 3, H, W) in [-1, 1], a few hundred training images.
        whitening: 1 gives every latent channel the same variance, 0 leaves the components'
            own. The mean square over all channels is 1.

    Raises:
        ValueError: The model's layout cannot carry the linear path.
    """
    _check_layout(model)
    for module in model.modules():
        if type(module).__name__ == "ResnetBlock2D":
            _clear(module.conv2)
    for conv in (model.quant_conv, model.post_quant_conv):
        _clear(conv)
        conv.weight[:, :, 0, 0] = torch.eye(conv.in_channels)
    features = _start_encoder(model, images, whitening)
    few = slice(None, None, math.ceil(len(images) / FIT_IMAGES))
    _start_decoder(model.decoder, [level[few] for level in features])


def finders(model: VQModel) -> tuple[str, ...]:
    """Return the names of the blocks that find phases, for training to leave alone.

    They tell small differences by large gains: a step that suits all else would upset them.
    """
    levels = range(1, len(model.decoder.up_blocks) - 1)
    return tuple(f"decoder.up_blocks.{level}.resnets.0." for level in levels)


def _check_layout(model: VQModel) -> None:
    config = model.config
    widths, groups = config.block_out_channels, config.norm_num_groups
    is_fit = (
        config.norm_type == "group"
        and config.layers_per_block == 1
        and not config.mid_block_add_attention
        and config.vq_embed_dim in (None, config.latent_channels)
        and config.latent_channels % groups == 0
        and len(widths) >= 3
        and list(widths) == sorted(widths)
        and widths[0] < widths[1]
        and widths[-1] == widths[-2]
        and min(widths[0] // groups // 2 - 1, 1) * groups >= 3
        and 2 * (config.latent_channels // groups + 1) <= widths[-1] // groups
        and widths[-1] >= config.latent_channels
    )
    if not is_fit:
        raise ValueError(
            "The linear start needs norm_type 'group', layers_per_block 1, no attention, at least "
            "3 normalisation groups of at least 4 channels in the first level, widths that never "
            "shrink, grow after the first and are equal in the last two levels, and room there for "
            f"2 (latent_channels / groups + 1) channels a group; the model has {config}."
        )


def _clear(conv: nn.Conv2d) -> None:
    nn.init.zeros_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


def _pass_on(conv: nn.Conv2d | None, count: int) -> None:
    """Make a convolution copy the first channels; a block without one copies all of them."""
    if conv is None:
        return
    centre = conv.kernel_size[0] // 2
    conv.weight[:count] = 0.0
    conv.weight[:count, :count, centre, centre] = torch.eye(count)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


def _start_encoder(model: VQModel, images: torch.Tensor, whitening: float) -> list[torch.Tensor]:
    """Set the encoder; return the features of every level, finest first, latents last."""
    encoder = model.encoder
    _clear(encoder.conv_in)
    _pass_on(encoder.conv_in, 3)
    features = [images]
    for block in encoder.down_blocks[:-1]:
        if block.resnets[0].conv_shortcut is not None:
            _clear(block.resnets[0].conv_shortcut)
        _pass_on(block.resnets[0].conv_shortcut, features[-1].shape[1])
        conv = block.downsamplers[0].conv
        _clear(conv)
        cells = functional.pixel_unshuffle(features[-1], 2)
        if block is encoder.down_blocks[-2]:
            matrix = _latent_matrix(cells, model.config.latent_channels, whitening)
            _set_pairs(encoder, conv, matrix, model.config.norm_num_groups)
        else:
            axes, _ = principal_axes(as_rows(cells), min(conv.out_channels, cells.shape[1]))
            matrix = axes / 2  # keeps the leading component the size of a pixel
            _set_cells(conv, matrix)
        features.append(torch.einsum("oi,nihw->nohw", matrix.to(cells), cells))
    return features


def _latent_matrix(cells: torch.Tensor, count: int, whitening: float) -> torch.Tensor:
    axes, mean_squares = principal_axes(as_rows(cells), count)
    target = mean_squares ** (1.0 - whitening)
    return axes * torch.sqrt(target / target.mean() / mean_squares)[:, None]


def _set_cells(conv: nn.Conv2d, matrix: torch.Tensor) -> None:
    """Let a stride-2 convolution apply a matrix (out, 4 in) to 2x2 cells."""
    kept = matrix.shape[1] // 4
    conv.weight[: len(matrix), :kept, :2, :2] = matrix.unflatten(1, (kept, 2, 2)).to(conv.weight)


def _set_pairs(
    encoder: Any, conv: nn.Conv2d, matrix: torch.Tensor, groups: int
) -> None:
    """Make the latents pass the encoder's last normalisation and activation unchanged."""
    width, count = conv.out_channels // groups, len(matrix) // groups
    placed = torch.zeros(conv.out_channels, matrix.shape[1], dtype=matrix.dtype)
    last, norm = encoder.conv_out, encoder.conv_norm_out
    _clear(last)
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    assert conv.bias is not None
    for latent in range(len(matrix)):
        group, place = divmod(latent, count)
        first = group * width + 2 * place
        placed[first], placed[first + 1] = matrix[latent], -matrix[latent]
        last.weight[latent, first, 1, 1], last.weight[latent, first + 1, 1, 1] = 1.0, -1.0
        norm.weight[first : first + 2] = ENCODER_CONSTANT * math.sqrt(2 / width)
    _set_cells(conv, placed)
    for group in range(groups):
        constants = group * width + 2 * count
        conv.bias[constants], conv.bias[constants + 1] = ENCODER_CONSTANT, -ENCODER_CONSTANT


def _start_decoder(decoder: Any, features: list[torch.Tensor]) -> None:
    """Set the decoder, level by level, to what gives back the encoder's features."""
    count = features[-1].shape[1]
    _pass_on(decoder.conv_in, count)
    # The normalisations behind must not swing with the strongest channels.
    scales = features[-1].square().mean(dim=(0, 2, 3)).clamp(min=1e-6).rsqrt()
    decoder.conv_in.weight[:count] *= scales[:, None, None, None]
    stream: Stream | None = Stream(decoder.conv_in(features[-1]), list(range(count)), [])
    levels = list(zip(decoder.up_blocks[:-1], decoder.up_blocks[1:], strict=True))
    for (block, after), target in zip(levels, reversed(features[:-1]), strict=True):
        assert stream is not None
        up, (finder, writer) = block.upsamplers[0].conv, after.resnets
        before, is_last = stream, after is decoder.up_blocks[-1]
        stream = None if is_last else start_shuffle(up, finder, writer, before, target)
        if stream is None:
            stream = _start_smooth(up, after.resnets, before, target)
    _start_output(decoder)


def _start_smooth(
    up: nn.Conv2d, resnets: Any, stream: Stream, target: torch.Tensor
) -> Stream:
    """Set a level to the best that a convolution of repeated pixels can do."""
    count = min(target.shape[1], up.out_channels, resnets[0].out_channels)
    repeated = functional.interpolate(stream.state, scale_factor=2.0, mode="nearest")
    fit(up, repeated, target[:, :count], list(range(count)))
    state = up(repeated)
    for resnet in resnets:
        if resnet.conv_shortcut is not None:
            _pass_on(resnet.conv_shortcut, count)
        state = resnet(state, None)
    return Stream(state, list(range(count)), [])


def _start_output(decoder: Any) -> None:
    """Lead red, green and blue, each with its negative, through the last normalisation."""
    first, second = decoder.up_blocks[-1].resnets
    shortcut, norm, last = first.conv_shortcut, decoder.conv_norm_out, decoder.conv_out
    width = norm.num_channels // norm.num_groups
    scale = DECODER_CONSTANT * math.sqrt(2 / width)
    _clear(last)
    nn.init.zeros_(shortcut.bias)
    for colour in range(3):
        group = colour * width
        shortcut.weight[group : group + width] = 0.0
        for place, sign in ((group, 1.0), (group + 1, -1.0)):
            shortcut.weight[place, colour, 0, 0] = sign
            shortcut.bias[place + 2] = sign * DECODER_CONSTANT
            last.weight[colour, place, 1, 1] = sign
            norm.weight[place] = second.norm1.weight[place] = scale
