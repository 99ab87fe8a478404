"""Models of the project: architecture, catalogue, generation, training and evaluation.

Importing this package imports neither torch nor diffusers nor gradio; the modules that need them
import them when they are first used.
"""

import os

from data.version import VERSION

# OpenMP's threads that spin while they wait take the cores from everything else: on a busy machine
# of two cores an image then takes a minute instead of seconds. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = VERSION
