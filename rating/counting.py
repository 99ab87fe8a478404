"""Numbers with their nouns.

`rating.results.statistics` has its own, because a study capsule carries those modules alone.
"""


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun, for example "1 image" or "3 images"."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"
