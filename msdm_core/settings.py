"""Settings of the application, as data: name, environment variable, default and help in one table.

A value comes from the command line, else from the environment, else from the default.
"""

import argparse
import errno
import math
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msdm_core.errors import PortInUseError, SettingsError, WorkspaceError

MAX_PORT = 65_535
MAX_THREADS = 1_024
MAX_MEMORY_GIB = 65_536
LEAST_FREE_BYTES = 16 * 1024 * 1024
DEVICES = ("auto", "cpu", "cuda", "mps")
LEAST_TOKEN_LENGTH = 16
_TOKEN = re.compile(rf"[A-Za-z0-9_.~-]{{{LEAST_TOKEN_LENGTH},200}}")


def _port(text: str) -> int:
    return _whole_number("port", text, 1, MAX_PORT)


def _threads(text: str) -> int:
    return _whole_number("threads", text, 0, MAX_THREADS)


def _queue_limit(text: str) -> int:
    return _whole_number("queue-limit", text, 1, 10_000)


def _whole_number(name: str, text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise SettingsError(
            f"Setting --{name} cannot be {text!r}: give a whole number from {least} to {most}."
        )
    return value


def _memory_budget_gib(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_MEMORY_GIB:
        raise SettingsError(
            f"Setting --memory-budget-gib cannot be {text!r}: give a number of GiB from 0 "
            f"(a share of what is free) to {MAX_MEMORY_GIB:,}."
        )
    return value


def _device(text: str) -> str:
    if text not in DEVICES:
        raise SettingsError(f"Setting --device cannot be {text!r}: give one of {list(DEVICES)}.")
    return text


def _text(text: str) -> str:
    return text.strip()


def _token(name: str, text: str) -> str:
    text = text.strip()
    if text and not _TOKEN.fullmatch(text):
        # The value is a secret, even where it cannot be used.
        raise SettingsError(
            f"Setting --{name} cannot be used: give {LEAST_TOKEN_LENGTH} to 200 letters, digits "
            "or any of '_.~-', since it is part of an address. A good one is printed by: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return text


def _coordinator_token(text: str) -> str:
    return _token("coordinator-token", text)


def _generate_token(text: str) -> str:
    return _token("generate-token", text)


def _folder(text: str) -> Path:
    return Path(text).expanduser()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what it is called, where it is read and what it does."""

    name: str
    environment: str
    default: str
    metavar: str
    help: str
    parse: Callable[[str], Any]

    @property
    def flag(self) -> str:
        """The option of the command line, for example `--queue-limit`."""
        return f"--{self.name}"

    @property
    def field(self) -> str:
        """The attribute of `Settings`, for example `queue_limit`."""
        return self.name.replace("-", "_")


SETTINGS = (
    Setting("home", "MSDM_HOME", "./workspace", "FOLDER",
            "folder for the history, generated images and downloads", _folder),
    Setting("host", "MSDM_HOST", "127.0.0.1", "ADDRESS",
            "address to listen on; 0.0.0.0 lets other machines in", _text),
    Setting("port", "MSDM_PORT", "7860", "NUMBER",
            f"port to listen on, 1 to {MAX_PORT}", _port),
    Setting("device", "MSDM_DEVICE", "auto", "NAME",
            f"where models run, one of {', '.join(DEVICES)}; auto takes a GPU when there is one",
            _device),
    Setting("threads", "MSDM_THREADS", "0", "NUMBER",
            "CPU threads a model may use; 0 leaves the choice to torch", _threads),
    Setting("memory-budget-gib", "MSDM_MEMORY_BUDGET_GIB", "0", "GIB",
            "main memory for models kept loaded; 0 takes three fifths of what is free",
            _memory_budget_gib),
    Setting("queue-limit", "MSDM_QUEUE_LIMIT", "32", "NUMBER",
            "jobs that may wait at once", _queue_limit),
    Setting("database-url", "MSDM_DATABASE_URL", "", "URL",
            "database of studies, postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE; without "
            "one a SQLite file in the home folder", _text),
    Setting("coordinator-token", "MSDM_COORDINATOR_TOKEN", "", "TOKEN",
            "secret that coordinators of studies sign in with; without one it is made once, kept "
            "in the home folder and printed; better given as the variable, since command lines "
            "can be seen by others", _coordinator_token),
    Setting("generate-token", "MSDM_GENERATE_TOKEN", "", "TOKEN",
            "secret that opens Generate; without one everybody may generate while no study is "
            "open", _generate_token),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """The values the application runs with."""

    home: Path
    host: str
    port: int
    device: str
    threads: int
    memory_budget_gib: float
    queue_limit: int
    database_url: str = field(repr=False)
    coordinator_token: str = field(repr=False)
    generate_token: str = field(repr=False)
    is_port_given: bool = False
    is_space: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in {"127.0.0.1", "localhost", "::1"}

    @property
    def trusted_hosts(self) -> list[str]:
        """Names that requests may address the server by.

        On one's own machine, a foreign site whose name is pointed there must not reach the app.
        """
        return ["127.0.0.1", "localhost", "[::1]", "::1"] if self.is_loopback else ["*"]

    @property
    def has_studies(self) -> bool:
        """Whether studies are served: not on a Space that nobody set a coordinator's token for."""
        return bool(self.coordinator_token) or not self.is_space

    def address(self, port: int) -> str:
        """Returns the address of the server for a browser on this machine."""
        host = "localhost" if self.host in {"0.0.0.0", "::"} else self.host
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def greeting(self, port: int) -> str:
        """Returns what the server says when it listens on `port`."""
        lines = [f"Open {self.address(port)} in a browser. Stop with Ctrl-C."]
        if port != self.port:
            lines.insert(0, f"Port {self.port} is in use; listening on {port} instead.")
        if not (self.is_loopback or self.is_space or self.generate_token):
            lines.append(
                "Everybody who can reach this machine can generate and see its images while no "
                "study is open. MSDM_GENERATE_TOKEN closes that."
            )
        return "\n".join(lines)

    def require_safe_exposure(self) -> None:
        """Refuse what would let strangers in.

        Raises:
            SettingsError: other machines can reach the server and no coordinator's token is set.
        """
        if self.coordinator_token:
            return
        advice = (
            "Set MSDM_COORDINATOR_TOKEN to a secret of at least 16 characters, as printed by: "
            'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
        if self.is_space:
            if self.generate_token:
                raise SettingsError(
                    f"MSDM_GENERATE_TOKEN needs a coordinator's token beside it. {advice}"
                )
        elif not self.is_loopback:
            raise SettingsError(
                f"Other machines can reach {self.host}, and no coordinator's token is set. "
                f"{advice} Or leave out --host to serve this machine alone."
            )


def add_settings(parser: argparse.ArgumentParser, names: Sequence[str] | None = None) -> None:
    """Adds one option per setting to `parser`; `names` limits which."""
    group = parser.add_argument_group(
        "settings", "each is also read from the environment variable in brackets"
    )
    for setting in SETTINGS:
        if names is None or setting.name in names:
            default = setting.default or "none"
            group.add_argument(
                setting.flag,
                metavar=setting.metavar,
                default=None,
                help=f"{setting.help} [{setting.environment}; default {default}]",
            )


def read_settings(
    options: argparse.Namespace | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Returns the settings from the command line, the environment and the defaults.

    Args:
        options: what a parser prepared by `add_settings` read; missing options count as not given.
        environment: variables to read, by default those of the process.

    Raises:
        SettingsError: a value cannot be used.
    """
    environment = os.environ if environment is None else environment
    is_space = bool(environment.get("SPACE_ID"))
    values: dict[str, Any] = {}
    given: set[str] = set()
    for setting in SETTINGS:
        text = getattr(options, setting.field, None)
        if text is None:
            text = environment.get(setting.environment) or None
        if text is not None:
            given.add(setting.name)
        values[setting.field] = setting.parse(setting.default if text is None else text)
    if is_space and "host" not in given:
        # A Space is reached through a proxy outside its container, on this port alone.
        values["host"] = "0.0.0.0"
    return Settings(**values, is_port_given="port" in given, is_space=is_space)


def prepare_workspace(home: Path) -> Path:
    """Creates the workspace folder, proves it can be written and returns its absolute path.

    Raises:
        WorkspaceError: the folder cannot be created or written, or its disk is full.
    """
    home = home.absolute()
    advice = "Choose another folder with --home FOLDER or MSDM_HOME."
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        if (free := shutil.disk_usage(home).free) < LEAST_FREE_BYTES:
            raise OSError(errno.ENOSPC, f"only {free // 1024} KiB are left on its disk")
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkspaceError(f"The workspace {home} cannot be used: {reason}. {advice}") from error
    return home


def listen_error(host: str, port: int) -> OSError | None:
    """Returns why no server can listen on `host`:`port` now, None when one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # on Windows this option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def next_free_port(host: str, after: int, tries: int = 100) -> int | None:
    """Returns the first free port above `after`, or None when `tries` ports are all taken."""
    for port in range(after + 1, min(after + 1 + tries, MAX_PORT + 1)):
        if listen_error(host, port) is None:
            return port
    return None


def choose_port(settings: Settings) -> int:
    """Returns the port to listen on; a port given explicitly is never replaced by another.

    Raises:
        SettingsError: the address is not one of this machine, or the port is reserved.
        PortInUseError: the port is taken, and it was given explicitly or none near is free.
    """
    error = listen_error(settings.host, settings.port)
    if error is None:
        return settings.port
    if error.errno != errno.EADDRINUSE:
        raise SettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Give --host an address of this machine (127.0.0.1, or 0.0.0.0 for all) "
            "and --port a number from 1024 up."
        ) from error
    free = next_free_port(settings.host, settings.port)
    if free is not None and not (settings.is_port_given or settings.is_space):
        return free
    advice = f"use a free port: --port {free}" if free else "choose another with --port NUMBER."
    raise PortInUseError(
        f"Port {settings.port} on {settings.host} is in use by another program. "
        f"Stop that program, or {advice}"
    )
