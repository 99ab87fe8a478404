"""Contract: settings come from the command line, else the environment, else the table's default,
and what cannot be used is refused with a message that names the next step.
"""

import argparse
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from msdm_core.errors import PortInUseError, SettingsError, WorkspaceError
from msdm_core.settings import (
    SETTINGS,
    Settings,
    add_settings,
    choose_port,
    prepare_workspace,
    read_settings,
)


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def taken_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_every_setting_is_printed_by_help_with_its_variable_and_default():
    parser = argparse.ArgumentParser()
    add_settings(parser)
    printed = " ".join(parser.format_help().split())
    for setting in SETTINGS:
        assert setting.flag in printed
        assert setting.environment in printed
        assert f"default {setting.default or 'none'}" in printed


def test_every_setting_is_a_field_of_settings():
    assert {setting.field for setting in SETTINGS} <= set(Settings.__dataclass_fields__)


def test_without_anything_given_the_server_listens_on_this_machine_alone():
    settings = read_settings(environment={})
    assert (settings.host, settings.port) == ("127.0.0.1", 7860)
    assert settings.home == Path("workspace")
    assert settings.is_loopback
    assert not settings.is_port_given


def test_the_environment_overrides_defaults_and_the_command_line_overrides_both():
    environment = {"MSDM_PORT": "8001", "MSDM_HOME": "/from/environment"}
    settings = read_settings(parse("--port", "8002"), environment)
    assert settings.port == 8002
    assert settings.home == Path("/from/environment")
    assert settings.is_port_given


@pytest.mark.parametrize("name", ["coordinator-token", "generate-token"])
@pytest.mark.parametrize(
    "value", ["short", "has spaces and is long enough", "a/b/c/d/e/f/g/h/i", "é" * 20]
)
def test_a_token_that_is_no_good_is_refused_without_being_repeated(name: str, value: str):
    with pytest.raises(SettingsError, match=name) as caught:
        read_settings(parse(f"--{name}={value}"), {})
    assert value not in str(caught.value)


def test_secrets_do_not_show_in_the_settings():
    environment = {
        "MSDM_COORDINATOR_TOKEN": "coordinator-secret-1",
        "MSDM_GENERATE_TOKEN": "generate-secret-1234",
        "MSDM_DATABASE_URL": "postgresql://someone:password-secret@host/studies",
    }
    settings = read_settings(environment=environment)
    assert settings.coordinator_token == "coordinator-secret-1"
    assert "secret" not in repr(settings) + str(settings)
    assert "secret" not in settings.greeting(7860)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "server.example"])
def test_other_machines_are_let_in_only_with_a_coordinators_token(host: str):
    with pytest.raises(SettingsError, match="MSDM_COORDINATOR_TOKEN"):
        read_settings(parse("--host", host), {}).require_safe_exposure()
    token = {"MSDM_COORDINATOR_TOKEN": "coordinator-secret-1"}
    read_settings(parse("--host", host), token).require_safe_exposure()


def test_a_space_without_a_coordinators_token_serves_no_studies():
    space = {"SPACE_ID": "someone/msdm"}
    settings = read_settings(environment=space)
    settings.require_safe_exposure()
    assert not settings.has_studies
    token = {"MSDM_COORDINATOR_TOKEN": "coordinator-secret-1"}
    assert read_settings(environment=space | token).has_studies
    with pytest.raises(SettingsError, match="MSDM_GENERATE_TOKEN"):
        generate = {"MSDM_GENERATE_TOKEN": "generate-secret-1234"}
        read_settings(environment=space | generate).require_safe_exposure()


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://localhost:80"),
     ("::1", "http://[::1]:80")],
)  # fmt: skip
def test_the_address_that_is_printed_can_be_opened(host: str, address: str):
    assert read_settings(parse("--host", host), {}).address(80) == address


def test_an_empty_variable_counts_as_not_given():
    assert read_settings(environment={"MSDM_PORT": ""}).port == 7860


def test_on_a_space_the_server_listens_on_every_address():
    settings = read_settings(environment={"SPACE_ID": "someone/msdm"})
    assert (settings.host, settings.port, settings.is_space) == ("0.0.0.0", 7860, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("--port", "0"), ("--port", "65536"), ("--port", "x"), ("--threads", "-1"),
     ("--device", "tpu"), ("--queue-limit", "0")],
)  # fmt: skip
def test_a_value_outside_what_is_allowed_is_refused_with_the_value(name: str, value: str):
    with pytest.raises(SettingsError, match=value) as caught:
        read_settings(parse(f"{name}={value}"), {})
    assert name in str(caught.value)


def test_a_new_workspace_is_created_with_its_parents(tmp_path: Path):
    home = prepare_workspace(tmp_path / "a" / "b")
    assert home.is_dir()
    assert list(home.iterdir()) == []


def test_a_workspace_that_cannot_be_created_is_named_with_the_way_out(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkspaceError, match="MSDM_HOME") as caught:
        prepare_workspace(tmp_path / "file" / "home")
    assert "file" in str(caught.value)


def test_a_free_port_is_taken_as_it_is():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = replace(read_settings(environment={}), port=port)
    assert choose_port(settings) == port


def test_a_given_port_in_use_is_refused_and_a_free_one_is_offered(taken_port: int):
    settings = replace(read_settings(environment={}), port=taken_port, is_port_given=True)
    with pytest.raises(PortInUseError, match=r"--port \d+") as caught:
        choose_port(settings)
    offered = int(str(caught.value).split("--port ")[1])
    assert choose_port(replace(settings, port=offered)) == offered


def test_the_default_port_in_use_gives_way_to_the_next_free_one(taken_port: int):
    settings = replace(read_settings(environment={}), port=taken_port)
    assert choose_port(settings) > taken_port


def test_an_address_of_another_machine_is_refused():
    settings = replace(read_settings(environment={}), host="192.0.2.1", port=8000)
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
        choose_port(settings)
