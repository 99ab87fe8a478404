"""The figures of a study: drawn for print, for the colour-blind and for a screen, light or dark.

`drawing.draw_figures` draws them all; one module draws one figure.
"""
