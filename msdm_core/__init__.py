"""Models of the project: architecture, catalogue, generation, training and evaluation.

Importing this package imports neither torch nor diffusers nor gradio; the modules that need them
import them when they are first used.
"""

__version__ = "0.1.0"
