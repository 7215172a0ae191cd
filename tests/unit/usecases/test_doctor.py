# SPDX-License-Identifier: Apache-2.0
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backed_up import Installation, installation
from typer.testing import CliRunner

from voiceauth.access.certificates import expires_at
from voiceauth.access.issuing import DevelopmentAuthority
from voiceauth.cli.app import app
from voiceauth.config import Settings
from voiceauth.errors import SettingsError
from voiceauth.testing.fakes import FakeClock
from voiceauth.types import Finding, Level
from voiceauth.usecases.back_up import create_backup
from voiceauth.usecases.dev_certificates import make_dev_certificates
from voiceauth.usecases.doctor import diagnose, worst
from voiceauth.usecases.doctor_settings import weak_settings
from voiceauth.usecases.drill_backup import drill_backup

YEAR = timedelta(days=365).total_seconds()
STRONG: dict[str, Any] = {
    "storage": {"data_dir": "/data", "key_file": "/keys/keys.json"},
    "keyring": {"passphrase_file": "/keys/secret", "rotate_days": 30, "backup_days": 90},
    "ledger": {"export_dir": "/elsewhere"},
    "backup": {"directory": "/backups"},
}


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Installation]:
    """An installation whose clock is the present of its record."""
    with installation(tmp_path) as opened:
        yield opened


def found(live: Installation, check: str, settings: Settings | None = None) -> list[Finding]:
    """Return the findings of one check."""
    every = diagnose(settings or live.settings, live.clock)
    return [one for one in every if one.check == check]


def with_change(**change: dict[str, Any]) -> Settings:
    """Return strong settings with some sections changed."""
    return Settings(**{**STRONG, **{k: {**STRONG.get(k, {}), **v} for k, v in change.items()}})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (with_change(policies={"standard": {"accept_on_voice_alone": True}}), "voice alone"),
        (with_change(policies={"standard": {"target_false_match_rate": 0.05}}), "impostor"),
        (with_change(liveness={"replay": False}), "earlier calls"),
        (with_change(server={"host": "0.0.0.0"}), "plain text"),  # noqa: S104 - what is weak
        (with_change(server={"reflection": True}), "reflection"),
        (with_change(log={"level": "debug"}), "debug"),
        (with_change(access={"anonymous_roles": ("ivr",)}), "reaches the port"),
        (with_change(keyring={"passphrase_file": None}), "passphrase"),
        (with_change(storage={"key_file": None}), "beside the vault"),
        (with_change(keyring={"rotate_days": 0}), "never replaced"),
        (with_change(keyring={"backup_days": 0}), "never destroyed"),
        (with_change(keyring={"backup_days": 7}), "their keys for 7"),
        (with_change(ledger={"export_dir": None}), "second place"),
        (with_change(backup={"directory": None}), "No backups"),
        (
            with_change(tls={"certificate": "/c", "key": "/k", "allow_tls_1_2": True}),
            "TLS 1.2",
        ),
        (
            with_change(tokens={"issuer": "https://x", "audience": "v", "jwks_file": "/j"}),
            "second factor",
        ),
    ],
)
def test_a_weak_setting_is_named(settings: Settings, word: str) -> None:
    """One warning, with what to do; nothing else is complained about."""
    warnings = list(weak_settings(settings))

    assert [one.level for one in warnings] == [Level.WARNING]
    assert word in warnings[0].text
    assert warnings[0].advice


def test_strong_settings_are_good() -> None:
    """Who has done all of it hears nothing."""
    assert [one.level for one in weak_settings(with_change())] == [Level.GOOD]


@pytest.mark.parametrize("name", ["vault.db", "vault.db.anchor", "keys.json", "backup-keys.json"])
def test_a_private_file_that_others_can_read_is_a_problem(live: Installation, name: str) -> None:
    """It says which file, and the command that mends it."""
    (live.settings.storage.data_dir / name).chmod(0o644)

    problem = found(live, "permissions")[0]

    assert problem.level is Level.PROBLEM
    assert name in problem.text
    assert problem.advice.startswith("chmod 0600")


def test_a_directory_that_others_can_enter_is_a_problem(live: Installation) -> None:
    """Likewise for directories."""
    assert [one.level for one in found(live, "permissions")] == [Level.GOOD]
    live.settings.storage.data_dir.chmod(0o755)
    assert found(live, "permissions")[0].advice.startswith("chmod 0700")


@pytest.mark.parametrize(
    ("days_left", "level"), [(31, Level.GOOD), (29, Level.WARNING), (-1, Level.PROBLEM)]
)
def test_certificates_that_end_are_told_in_time(
    live: Installation, tmp_path: Path, days_left: int, level: Level
) -> None:
    """A month before, and once they have ended."""
    make_dev_certificates(
        tmp_path / "certs", hosts=["localhost"], tenant="bank", now=live.clock.now()
    )
    certificate = tmp_path / "certs" / "server.pem"
    tls = live.settings.tls.model_copy(update={"certificate": certificate})
    settings = live.settings.model_copy(update={"tls": tls})
    clock = FakeClock(expires_at(certificate.read_bytes()) - timedelta(days=days_left))

    every = diagnose(settings, clock)

    assert [one.level for one in every if one.check == "certificates"] == [level]


@pytest.mark.parametrize(
    ("hours", "level"), [(-1, Level.GOOD), (1, Level.PROBLEM), (None, Level.PROBLEM)]
)
def test_revocation_lists_whose_time_is_over_are_a_problem(
    live: Installation, tmp_path: Path, hours: float | None, level: Level
) -> None:
    """It is told before the server says so by refusing everybody; a missing file, too."""
    now = live.clock.now()
    authority = DevelopmentAuthority(now)
    ca, crl = tmp_path / "ca.pem", tmp_path / "clients.crl"
    ca.write_bytes(authority.certificate)
    if hours is not None:
        made = now - timedelta(hours=hours)
        lists = authority.revocation_list((), now=made, holds=timedelta(minutes=30))
        crl.write_bytes(lists)
    tls = live.settings.tls.model_copy(update={"client_ca": ca, "client_crl": crl})
    settings = live.settings.model_copy(update={"tls": tls})

    told = [one for one in found(live, "certificates", settings) if "client_crl" in one.text]

    assert [one.level for one in told] == [level]


def test_a_certificate_that_is_none_is_a_problem(live: Installation, tmp_path: Path) -> None:
    """Neither a missing file nor other content stops the other checks."""
    tls = live.settings.tls.model_copy(
        update={"certificate": tmp_path / "none.pem", "client_ca": live.settings.storage.keys}
    )
    settings = live.settings.model_copy(update={"tls": tls})

    levels = [one.level for one in found(live, "certificates", settings)]

    assert levels == [Level.PROBLEM, Level.PROBLEM]
    assert found(live, "vault", settings)[0].level is Level.GOOD


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 40, Level.GOOD), (500 << 20, Level.WARNING), (1000, Level.PROBLEM)]
)
def test_a_disk_that_fills_up_is_told(
    live: Installation, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    """Before calls stop for it."""
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("voiceauth.usecases.doctor_files.shutil.disk_usage", lambda _: usage)

    assert found(live, "disk")[0].level is level


def test_a_clock_that_was_set_back_is_a_problem(live: Installation) -> None:
    """The ledger's newest entry lies in its future, or the clock is older than the engine."""
    assert found(live, "clock")[0].level is Level.GOOD
    live.clock.jump(-3600)
    assert "future" in found(live, "clock")[0].text or "before" in found(live, "clock")[0].text
    live.clock.jump(-10 * YEAR)
    assert found(live, "clock")[0].level is Level.PROBLEM
    assert "before this engine" in found(live, "clock")[0].text


def test_old_keys_are_named(live: Installation) -> None:
    """By the age that the settings set, or a year."""
    assert found(live, "keys")[0].level is Level.GOOD
    live.clock.advance(YEAR + 200_000)

    assert {one.level for one in found(live, "keys")} == {Level.WARNING}


def test_keys_that_cannot_be_opened_are_a_problem(live: Installation) -> None:
    """A missing key file is told; the other checks go on."""
    live.settings.storage.keys.unlink()

    every = diagnose(live.settings, live.clock)

    assert [one.level for one in every if one.check == "keys"] == [Level.PROBLEM]
    assert worst(every) is Level.PROBLEM
    assert len({one.check for one in every}) > 6


def _older(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM schema_version WHERE version > 2")


def _newer(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO schema_version (version) VALUES (9999)")


@pytest.mark.parametrize(
    ("change", "level", "word"),
    [(_older, Level.WARNING, "due"), (_newer, Level.PROBLEM, "knows")],
)
def test_migrations_that_are_due_are_told_and_not_run(
    live: Installation,
    change: Callable[[sqlite3.Connection], None],
    level: Level,
    word: str,
) -> None:
    """Looking changes nothing."""
    assert found(live, "migrations")[0].level is Level.GOOD
    path = live.settings.storage.data_dir / "vault.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        change(connection)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT max(version) FROM schema_version").fetchone()

    finding = found(live, "migrations")[0]

    assert finding.level is level
    assert word in finding.text
    with closing(sqlite3.connect(path)) as connection:
        after = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    assert after == before


def test_a_file_that_is_no_vault_is_a_problem(live: Installation, tmp_path: Path) -> None:
    """Nonsense, or another database."""
    home = tmp_path / "other"
    home.mkdir()
    (home / "vault.db").write_text("nonsense" * 1000)
    storage = live.settings.storage.model_copy(update={"data_dir": home})
    settings = live.settings.model_copy(update={"storage": storage})
    assert found(live, "vault", settings)[0].level is Level.PROBLEM
    (home / "vault.db").unlink()
    with closing(sqlite3.connect(home / "vault.db")) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
    assert found(live, "vault", settings)[0].level is Level.PROBLEM


def test_a_changed_model_file_is_a_problem(
    live: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash is looked at, not only the name."""

    def changed(*_: object) -> bytes:
        raise SettingsError("Cannot read the model file.")

    assert found(live, "models")[0].level is Level.GOOD
    monkeypatch.setattr("voiceauth.usecases.doctor_record.read_verified", changed)

    assert found(live, "models")[0].level is Level.PROBLEM


def test_a_migration_under_way_is_told(live: Installation) -> None:
    """It should be a short time."""
    models = live.settings.models.model_copy(update={"previous": "the-one-before"})
    settings = live.settings.model_copy(update={"models": models})

    assert any("the-one-before" in one.text for one in found(live, "models", settings))


def test_an_old_calibration_is_told(live: Installation) -> None:
    """Lines change; a year is long."""
    live.clock.advance(20 * YEAR)

    assert found(live, "calibration")[0].level is Level.WARNING


def test_backups_that_are_missing_old_or_never_drilled_are_told(live: Installation) -> None:
    """Nobody learns of it on the day on which one is needed."""
    live.desk.directory.mkdir(mode=0o700)
    assert found(live, "backup")[0].level is Level.PROBLEM
    made = create_backup(live.desk)
    assert found(live, "backup")[0].level is Level.GOOD
    assert found(live, "drill")[0].level is Level.WARNING
    drill_backup(live.desk, made.path)
    assert found(live, "drill")[0].level is Level.GOOD
    live.clock.advance(timedelta(days=40).total_seconds())
    assert found(live, "backup")[0].level is Level.PROBLEM
    assert found(live, "drill")[0].level is Level.WARNING
    live.embedder.deaf = True
    with pytest.raises(Exception, match="known voice"):
        drill_backup(live.desk, made.path)
    assert found(live, "drill")[0].level is Level.PROBLEM


def test_before_the_first_start_nothing_is_wrong(tmp_path: Path) -> None:
    """No vault and no keys are not a problem yet."""
    settings = Settings(storage={"data_dir": tmp_path / "none"})

    assert worst(diagnose(settings)) is Level.WARNING


def test_the_exit_code_says_how_bad_it_is(tmp_path: Path) -> None:
    """10 for warnings, 11 for problems; the JSON has everything that was looked at."""
    runner = CliRunner()
    folder = ["--data-dir", str(tmp_path / "vault")]
    result = runner.invoke(app, ["doctor", *folder, "--json"])
    assert result.exit_code == 10
    assert '"worst": "warning"' in result.stdout
    runner.invoke(app, ["subjects", "create", "s", *folder])
    (tmp_path / "vault" / "vault.db").chmod(0o644)
    result = runner.invoke(app, ["doctor", *folder])
    assert result.exit_code == 11
    assert "permissions" in result.stdout
    assert worst(()) is Level.GOOD
