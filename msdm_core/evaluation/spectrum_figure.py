"""The figure of power spectra, real against generated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msdm_core.evaluation.spectrum import power_spectrum


def write_spectrum_figure(
    path: Path, real: np.ndarray, generated: np.ndarray, label: str
) -> None:
    """Write radially averaged power spectra, with the band of a factor of 3 around the real one.

    Args:
        path: PNG or SVG to write.
        real: (N, S, S, 3) uint8.
        generated: (M, S, S, 3) uint8.
        label: Name of the model.
    """
    from matplotlib.figure import Figure

    reference, other = power_spectrum(real), power_spectrum(generated)
    frequency = np.arange(1, len(reference) + 1)
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(frequency, reference / 3, reference * 3, color="0.9",
                      label="real, within a factor of 3")
    axes.loglog(frequency, reference, color="black", linewidth=1.6,
                label=f"real (n = {len(real)})")
    axes.loglog(frequency, other, color="#0072B2", linewidth=1.6, linestyle="--",
                label=f"{label} (n = {len(generated)})")
    axes.set(xlabel="spatial frequency (cycles per image)", ylabel="power of luma",
             xlim=(1, len(reference)))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
