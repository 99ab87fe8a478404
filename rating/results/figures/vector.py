"""Figures as SVG: text stays text, and the same figure gives the same bytes.

matplotlib chooses both by settings that hold for the whole process; a server draws in several
threads, so that this renderer brings its own.
"""

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import to_hex

from .lettering import FAMILIES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ANCHORS = {"left": "start", "center": "middle", "right": "end"}


def svg_of(figure: "Figure", title: str, alt_text: str, image_dpi: float) -> str:
    """Return a figure as SVG with its title and its description in words.

    Args:
        figure:    Drawn at 72 dots an inch from here on.
        title:     One line.
        alt_text:  What the figure shows.
        image_dpi: Of pictures within it.
    """
    buffer = io.StringIO()
    figure.set_dpi(72)
    width, height = figure.get_size_inches()
    described = {"Title": title, "Description": alt_text}
    make: Any = _Renderer
    vector = make(width * 72, height * 72, buffer, image_dpi=image_dpi, metadata=described)
    mix: Any = MixedModeRenderer
    renderer = mix(figure, width, height, image_dpi, vector)
    figure.draw(renderer)
    renderer.finalize()
    return buffer.getvalue().replace("<svg ", '<svg role="img" ', 1)


class _Renderer(RendererSVG):
    """Draws as matplotlib does, but for names of parts, descriptions and text."""

    writer: Any

    def _make_id(self, type: str, content: Any) -> str:
        return type + hashlib.sha256(str(content).encode()).hexdigest()[:10]

    def _write_metadata(self, metadata: dict[str, str]) -> None:
        self.writer.element("title", text=metadata["Title"])
        self.writer.element("desc", text=metadata["Description"])

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float,
        ismath: Any = False, mtext: Any = None,
    ) -> None:  # fmt: skip
        """Draw a text as text, anchored where it is aligned so that other fonts do no harm."""
        style = {
            "font-family": FAMILIES, "font-size": f"{prop.get_size():g}px",
            "fill": to_hex(gc.get_rgb()), "white-space": "pre",
        }  # fmt: skip
        if prop.get_weight() == "bold":
            style["font-weight"] = "bold"
        if mtext is not None:
            at = mtext.get_transform().transform(mtext.get_unitless_position())
            along = np.array([np.cos(np.deg2rad(angle)), -np.sin(np.deg2rad(angle))])
            anchor = np.array([at[0], self.height - at[1]])
            # Where it starts lies on the line of its feet; its anchor is moved there at a right
            # angle.
            x, y = np.array([x, y]) + along * ((anchor - np.array([x, y])) @ along)
            style["text-anchor"] = _ANCHORS[mtext.get_ha()]
        place = {"x": f"{x:.3f}", "y": f"{y:.3f}"}
        if angle:
            place["transform"] = f"rotate({-angle:g} {x:.3f} {y:.3f})"
        css = "; ".join(f"{name}: {value}" for name, value in style.items())
        self.writer.element("text", s, attrib={**place, "style": css})
