# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest

from voiceauth.config import load
from voiceauth.errors import SettingsError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Return the path of a settings file to write."""
    return tmp_path / "voiceauth.toml"


def test_defaults_need_no_file() -> None:
    """Without any file the engine has complete settings that listen on loopback only."""
    settings = load(None, environment=False)

    assert settings.server.host == "127.0.0.1"
    assert set(settings.policies) == {"standard", "strict", "voice-alone", "evidence"}
    assert settings.enrolment.needed_seconds == 20.0


def test_a_file_overrides_defaults_and_adds_policies(toml: Path) -> None:
    """A file sets what it names, keeps the other defaults, and adds to the built-in policies."""
    toml.write_text(
        'default_policy = "bank"\n[server]\nport = 5\n'
        "[policies.bank]\ntarget_false_match_rate = 0.0005\n"
    )

    settings = load(toml, environment=False)

    assert settings.server.port == 5
    assert settings.server.idle_seconds == 15.0
    assert settings.policies["bank"].target_false_match_rate == 0.0005
    assert "standard" in settings.policies


def test_the_environment_overrides_the_file(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VOICEAUTH_SECTION__KEY wins over the file."""
    toml.write_text("[server]\nport = 5\nidle_seconds = 3\n")
    monkeypatch.setenv("VOICEAUTH_SERVER__PORT", "77")

    settings = load(toml)

    assert settings.server.port == 77
    assert settings.server.idle_seconds == 3.0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nporrt = 5\n", "porrt"),
        ("[servre]\nport = 5\n", "servre"),
        ("[server]\nport = 99999\n", "server.port"),
        ('[server]\nport = "many"\n', "server.port"),
        ("[policies.x]\ntarget_false_match_rate = 0.9\n", "target_false_match_rate"),
        ("[enrolment]\nneeded_seconds = -1\n", "needed_seconds"),
        ('default_policy = "missing"\n', "missing"),
        ("[server\n", "read"),
    ],
)
def test_a_bad_setting_refuses_to_start_and_is_named(toml: Path, text: str, named: str) -> None:
    """Unknown keys, wrong types, values out of bounds and broken TOML are refused by name."""
    toml.write_text(text)

    with pytest.raises(SettingsError, match=named):
        load(toml, environment=False)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A settings file that was named but is not there is an error, not the defaults."""
    with pytest.raises(SettingsError, match="no settings file"):
        load(tmp_path / "nothing.toml")


def test_an_unknown_environment_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A typing error in an override must not be ignored silently."""
    monkeypatch.setenv("VOICEAUTH_SERVRE__PORT", "77")

    with pytest.raises(SettingsError, match="SERVRE"):
        load(None)


def test_an_unknown_nested_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown key inside a known section is refused as in a file."""
    monkeypatch.setenv("VOICEAUTH_SERVER__PORRT", "77")

    with pytest.raises(SettingsError, match=r"(?i)porrt"):
        load(None)


@pytest.mark.parametrize(
    "text",
    [
        "free_failures = 11",
        "first_delay_seconds = 10",
        "most_failures = 101",
        "first_delay_seconds = 300\nlongest_delay_seconds = 60",
        "free_failures = 9\nmost_failures = 8",
        "failed_voice_hours = 721",
    ],
)
def test_no_setting_gives_more_attempts_than_the_standard(toml: Path, text: str) -> None:
    """The figures of NIST SP 800-63B are upper bounds: settings can only be stricter."""
    toml.write_text(f"[lockout]\n{text}\n")

    with pytest.raises(SettingsError):
        load(toml, environment=False)
