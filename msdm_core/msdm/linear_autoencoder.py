"""A linear start for `AutoencoderDC`: principal components of pixel patches, level by level.

The best linear autoencoder of 16x16 patches is their principal component analysis. A stock
`AutoencoderDC` can carry it exactly, because everything in it that is not linear can be switched
off: the residual blocks by zero gains, the shortcuts by subtracting them in the convolutions, the
last normalisation by a constant channel that dwarfs the others, and the last ReLU by an offset
that is taken out again behind it. Training then starts from a good autoencoder and has to add only
what is not linear.
"""

from __future__ import annotations

import math

import torch
from diffusers import AutoencoderDC
from torch import nn
from torch.nn import functional

CONSTANT = 20.0  # value of the channel that fixes the scale of the last normalisation
OFFSET = 3.0  # keeps pixel values in [-1, 1] on the linear side of the last ReLU
ROW_LIMIT = 200_000


@torch.no_grad()
def linear_start(model: AutoencoderDC, images: torch.Tensor, *, whitening: float = 0.5) -> None:
    """Set the weights of an `AutoencoderDC` to hierarchical principal components, in place.

    Args:
        model: Built with ``encoder_layers_per_block[0] == decoder_layers_per_block[0] == 0``, at
            least one layer in later levels, ``downsample_block_type="conv"`` and
            ``upsample_block_type="pixel_shuffle"``.
        images: (N, 3, H, W) in [-1, 1], a few hundred training images.
        whitening: 1 gives every latent channel the same variance, 0 leaves the components'
            own; in between the leading components stay the stronger ones, so that in diffusion
            they emerge from the noise first. The mean square over all channels is 1.

    Raises:
        ValueError: The model's layout cannot carry the linear path.
    """
    _check_layout(model)
    for module in model.modules():
        if type(module).__name__ == "ResBlock":
            module.norm.weight.zero_()
            module.norm.bias.zero_()
    features = _start_encoder(model.encoder, images, whitening)
    _start_decoder(model.decoder, features)


def _check_layout(model: AutoencoderDC) -> None:
    config = model.config
    is_fit = (
        config.encoder_layers_per_block[0] == 0
        and config.decoder_layers_per_block[0] == 0
        and min(config.encoder_layers_per_block[1:]) >= 1
        and min(config.decoder_layers_per_block[1:]) >= 1
        and config.downsample_block_type == "conv"
        and config.upsample_block_type == "pixel_shuffle"
        and config.encoder_block_out_channels[1] >= 12
        and config.decoder_block_out_channels[1] >= 13
    )
    if not is_fit:
        raise ValueError(
            "The linear start needs 0 layers in the first level and at least 1 in each later one, "
            "downsample_block_type 'conv', upsample_block_type 'pixel_shuffle', and at least "
            f"12 (encoder) and 13 (decoder) channels in the second level; the model has {config}."
        )


def as_rows(features: torch.Tensor) -> torch.Tensor:
    """Return (N, C, H, W) as float64 rows (at most ROW_LIMIT, C), evenly spaced."""
    rows = features.movedim(1, -1).flatten(0, -2)
    return rows[:: max(1, len(rows) // ROW_LIMIT)].double()


def principal_axes(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the leading axes (count, D) and mean squares (count,) of rows (N, D)."""
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    order = torch.argsort(values, descending=True)[:count]
    return vectors[:, order].T, values[order].clamp(min=1e-8)


def _least_squares(inputs: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return the matrix (out, in) that best maps rows of inputs onto rows of outputs."""
    gram = inputs.T @ inputs / len(inputs)
    cross = outputs.T @ inputs / len(inputs)
    return cross @ torch.linalg.pinv(gram, rtol=1e-7, hermitian=True)


def _set_linear(conv: nn.Conv2d, matrix: torch.Tensor) -> None:
    """Make a 3x3 convolution apply a matrix and nothing else.

    Args:
        conv: Stride 1 (matrix acts on one position, in the centre tap) or stride 2 (matrix acts
            on the 2x2 cell that the output covers, in `pixel_unshuffle` order).
        matrix: (out, in) or (out, 4 in).
    """
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    if conv.stride[0] == 1:
        conv.weight[:, :, 1, 1] = matrix.to(conv.weight)
    else:
        cells = matrix.unflatten(1, (conv.in_channels, 2, 2))
        conv.weight[:, :, 1:, 1:] = cells.to(conv.weight)


def _padded(matrix: torch.Tensor, rows: int) -> torch.Tensor:
    return functional.pad(matrix, (0, 0, 0, rows - matrix.shape[0]))


def _averaging(outputs: int, inputs: int) -> torch.Tensor:
    """Return the matrix (outputs, inputs) that averages consecutive groups of channels."""
    group = inputs // outputs
    return torch.eye(outputs, dtype=torch.float64).repeat_interleave(group, dim=1) / group


def _repeating(outputs: int, inputs: int) -> torch.Tensor:
    """Return the matrix (outputs, inputs) that repeats each channel in place."""
    return torch.eye(inputs, dtype=torch.float64).repeat_interleave(outputs // inputs, dim=0)


def _start_encoder(
    encoder: nn.Module, images: torch.Tensor, whitening: float
) -> list[torch.Tensor]:
    """Set the encoder; return the features of every level, finest first, latents last."""
    first = encoder.conv_in.conv
    _set_linear(first, _padded(torch.eye(12, dtype=torch.float64), first.out_channels))
    features = [encoder.conv_in(images)]
    for block in encoder.down_blocks[1:-1]:
        conv = block[-1].conv
        cells = as_rows(functional.pixel_unshuffle(features[-1], 2))
        axes, _ = principal_axes(cells, conv.out_channels)
        shortcut = _averaging(conv.out_channels, 4 * conv.in_channels)
        _set_linear(conv, _padded(axes, conv.out_channels) - shortcut)
        features.append(block[-1](features[-1]))
    last = encoder.conv_out
    axes, mean_squares = principal_axes(as_rows(features[-1]), last.out_channels)
    target = mean_squares ** (1.0 - whitening)
    matrix = axes * torch.sqrt(target / target.mean() / mean_squares)[:, None]
    if encoder.out_shortcut:
        matrix = matrix - _averaging(last.out_channels, last.in_channels)
    _set_linear(last, matrix)
    features.append(encoder(images))
    return features


def _start_decoder(decoder: nn.Module, features: list[torch.Tensor]) -> None:
    """Set the decoder to the least-squares inverse of the encoder, level by level."""
    latents = features[-1]
    first = decoder.conv_in
    matrix = _padded(_least_squares(as_rows(latents), as_rows(features[-2])), first.out_channels)
    if decoder.in_shortcut:
        matrix = matrix - _repeating(first.out_channels, first.in_channels)
    _set_linear(first, matrix)
    state = first(latents)
    if decoder.in_shortcut:
        repeats = decoder.in_shortcut_repeats
        state = state + latents.repeat_interleave(repeats, dim=1)
    for block, target in zip(reversed(decoder.up_blocks[1:-1]), reversed(features[:-2]),
                             strict=True):
        up = block[0]
        width = up.conv.out_channels // 4
        kept = min(width, target.shape[1])
        cells = as_rows(functional.pixel_unshuffle(target[:, :kept], 2))
        matrix = _padded(_least_squares(as_rows(state), cells), up.conv.out_channels)
        _set_linear(up.conv, matrix - _repeating(up.conv.out_channels, up.conv.in_channels))
        state = up(state)
    _start_output(decoder)


def _start_output(decoder: nn.Module) -> None:
    """Neutralise the last normalisation and ReLU around channels 0-11, a 2x2 cell of RGB."""
    block = decoder.up_blocks[1]
    up = block[0].conv
    up.bias[-4:] = CONSTANT
    for module in block[1:]:
        module.conv1.weight[:, -1] = 0.0
    norm = decoder.norm_out
    norm.weight.fill_(CONSTANT / math.sqrt(len(norm.weight)))
    norm.weight[-1] = 1.0
    norm.bias.zero_()
    norm.bias[:12] = OFFSET
    conv = decoder.conv_out.conv
    matrix = torch.zeros(12, conv.in_channels, dtype=torch.float64)
    matrix[:, :12] = torch.eye(12)
    _set_linear(conv, matrix)
    conv.bias.fill_(-OFFSET)

