"""Quantities as people read them: counts, bytes, work, time."""


def show_count(count: float) -> str:
    """Returns a count of parameters: 14.3 M, 1.25 B."""
    return _scaled(count, 1e3, ("", " K", " M", " B", " T"))


def show_bytes(count: float) -> str:
    """Returns an amount of memory: 95.4 MiB, 1.2 GiB."""
    return _scaled(count, 1024.0, (" B", " KiB", " MiB", " GiB", " TiB"))


def show_flops(count: float) -> str:
    """Returns an amount of work: 82.4 GFLOP, 1.9 TFLOP."""
    return _scaled(count, 1e3, (" FLOP", " kFLOP", " MFLOP", " GFLOP", " TFLOP", " PFLOP"))


def show_duration(duration_s: float) -> str:
    """Returns a duration in words: 45 s, 3 min, 2 h 5 min."""
    if duration_s < 90:
        return f"{duration_s:.0f} s"
    minutes = round(duration_s / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def show_seconds(duration_s: float) -> str:
    """Returns a measured duration: 1.6 s, then as `show_duration`."""
    return f"{duration_s:.1f} s" if duration_s < 10 else show_duration(duration_s)


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    index = 0
    while value >= base and index < len(units) - 1:
        value, index = value / base, index + 1
    digits = f"{value:.0f}" if value >= 100 or index == 0 else f"{value:.3g}"
    return f"{digits}{units[index]}"
