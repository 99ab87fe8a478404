"""How generated text names an arm."""

from rating.results.statistics.finding import Settings
from rating.results.wording import plain


def arm_name(settings: Settings, code: str) -> str:
    """Return the label of a model, its code too where labels repeat, or "real images"."""
    labels = [arm.label for arm in settings.arms]
    for arm in settings.arms:
        if arm.code == code:
            if arm.is_real:
                return "real images"
            is_alone = labels.count(arm.label) == 1
            return plain(arm.label if is_alone else f"{arm.label} ({arm.code})")
    return plain(code)
