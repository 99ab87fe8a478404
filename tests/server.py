"""The real app as a process on a free port, for tests."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 300


def free_port() -> int:
    """Returns a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def offer_checkpoint(
    home: Path, checkpoint: Path, size_px: int, model_ids: Sequence[str] = ("tiny",)
) -> None:
    """Writes a catalogue into the workspace that offers a checkpoint as the first models."""
    home.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    for model_id in model_ids:
        lines += (
            "[[model]]", f'id = "{model_id}"', 'family = "msdm"',
            f'label = "{model_id.capitalize()} MSDM"', f'path = "{checkpoint.as_posix()}"',
            'licence = "CC BY-NC 4.0"', f"native_size_px = {size_px}",
        )  # fmt: skip
    (home / "catalogue.toml").write_text("\n".join(lines), encoding="utf-8")


def clean_environment() -> dict[str, str]:
    """Returns the environment without settings of the person who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MSDM_")}
    kept.pop("SPACE_ID", None)
    return kept


def coordinator_token(home: Path) -> str:
    """Returns the token that a running app has made for its coordinator."""
    return (home / "coordinator_token").read_text(encoding="utf-8").strip()


@contextmanager
def running_app(
    home: Path,
    *options: str,
    port: int | None = None,
    variables: Mapping[str, str] | None = None,
    program: Sequence[str] = ("app.py",),
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Runs `app.py` on a free port; yields its address and process, and stops it at the end.

    `port` keeps the address over a restart; `variables` are added to the environment; `program`
    runs in the place of `app.py` where a test needs a changed one.
    """
    port = port or free_port()
    log_path = home.parent / f"{home.name}-server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *program, "--home", str(home), "--port", str(port), *options],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=clean_environment() | dict(variables or {}),
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_up(url, process, log_path)
            yield url, process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_up(url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
    """Returns when the app answers; raises with its log when it does not come up."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"The app did not start:\n{log_path.read_text(errors='replace')}")
