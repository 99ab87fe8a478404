"""The version of this software, as images, answers and capsules carry it."""

from typing import Final

VERSION: Final = "0.1.0"
