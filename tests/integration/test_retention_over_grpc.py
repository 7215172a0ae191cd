# SPDX-License-Identifier: Apache-2.0
"""Sweeps on the wire and from the command line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from served import CONSENT, TENANT, Parts, Served, served
from typer.testing import CliRunner

from voiceauth.cli.app import app
from voiceauth.client import SyncClient
from voiceauth.config import Settings, load
from voiceauth.errors import InputError, NotFoundError, SettingsError
from voiceauth.usecases.assemble import retention_rules

DAY = 86_400.0


@pytest.fixture
def ruled(parts: Parts) -> Parts:
    """Return the parts with the built-in rules."""
    return replace(parts, engine=replace(parts.engine, retention=retention_rules(Settings())))


async def test_a_sweep_tells_first_and_then_erases(ruled: Parts) -> None:
    """Dry, held back by nothing, and for good: rows, key and vectors go, and the record says so."""
    async with served(ruled) as service:
        await service.enrolled("alice")
        ruled.clock.advance(1095 * DAY)

        told = await service.client.sweep_retention(TENANT, dry_run=True)
        still = await service.client.get_subject(TENANT, "alice")
        done = await service.client.sweep_retention(TENANT)

        assert [(one.subject, one.rule, one.whole) for one in told.due] == [
            ("alice", "colorado", True)
        ]
        assert still.voiceprints == 1
        assert done.due == told.due
        assert done.record_id == ruled.last("retention.swept").sequence
        assert len(ruled.engine.gallery) == 0
        with pytest.raises(NotFoundError):
            await service.client.get_subject(TENANT, "alice")


async def test_a_jumped_clock_is_told_and_can_be_confirmed(ruled: Parts) -> None:
    """The reply says why nothing was erased; the confirmation erases."""
    async with served(ruled) as service:
        await service.enrolled("alice")
        await service.client.sweep_retention(TENANT)
        ruled.clock.jump(2000 * DAY)

        held = await service.client.sweep_retention(TENANT)
        assert "2000 days" in held.held
        assert (await service.client.get_subject(TENANT, "alice")).voiceprints == 1

        done = await service.client.sweep_retention(TENANT, confirm_clock=True)
        assert (done.held, len(done.due)) == ("", 1)


async def test_an_ended_consent_costs_the_voice_only(ruled: Parts) -> None:
    """The subject stays with its consent; the voiceprints go."""
    async with served(ruled) as service:
        await service.enrolled("alice")
        ends = ruled.clock.now().replace(year=2027)
        await service.client.record_consent(TENANT, "alice", replace(CONSENT, expires_at=ends))
        ruled.clock.advance(365 * DAY)

        done = await service.client.sweep_retention(TENANT)
        left = await service.client.get_subject(TENANT, "alice")

    assert [(one.rule, one.whole) for one in done.due] == [("consent-ended", False)]
    assert (left.voiceprints, left.consent is not None) == (0, True)


async def test_a_sweep_needs_a_tenant(service: Served) -> None:
    """A malformed tenant is the caller's mistake."""
    with pytest.raises(InputError):
        await service.client.sweep_retention("")


def test_the_blocking_client_sweeps_and_erases_too() -> None:
    """Both clients have the same names."""
    assert SyncClient.sweep_retention.__doc__
    assert SyncClient.erase.__doc__


def test_the_command_line_sweeps_and_erases(tmp_path: Path) -> None:
    """A rule of the settings' own makes somebody due at once."""
    config = tmp_path / "voiceauth.toml"
    config.write_text('[retention.rules.at-once]\nsince = "created"\ndays = 0\n')
    where = ["--data-dir", str(tmp_path / "data"), "--json"]
    run = CliRunner()

    def told(*words: str) -> dict[str, object]:
        result = run.invoke(app, ["--config", str(config), *words])
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    told("subjects", "create", "4711", *where)
    told("subjects", "create", "4712", *where)
    erased = told("subjects", "erase", "4712", "--yes", *where)
    dry = told("retention", "sweep", "--dry-run", *where)
    done = told("retention", "sweep", *where)
    after = told("retention", "sweep", *where)

    assert len(str(erased["token"])) == 32
    for part in (dry, done):
        assert isinstance(part["due"], list)
        assert [one["subject"] for one in part["due"]] == ["4711"]
    assert after["due"] == []
    assert "at-once" in told("retention", "rules", "--json")["rules"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        '[retention]\njurisdiction = "Illinois"',
        "[retention]\nlargest_clock_step_days = 0",
        '[retention.rules.x]\nsince = "yesterday"\ndays = 1',
        '[retention.rules.x]\nsince = "created"\ndays = -1',
        '[retention.rules.x]\nsince = "created"',
        '[retention.rules.x]\nsince = "created"\ndays = 1\njurisdictions = ["us"]',
        '[retention.rules.x]\nsince = "created"\ndays = 1\nerases = "nothing"',
    ],
)
def test_a_rule_that_cannot_be_meant_refuses_to_start(tmp_path: Path, text: str) -> None:
    """Unknown words, no time and negative times are no rules."""
    config = tmp_path / "voiceauth.toml"
    config.write_text(text)

    with pytest.raises(SettingsError):
        load(config)


def test_rules_of_a_file_stand_beside_the_built_in_ones(tmp_path: Path) -> None:
    """A file adds rules and may change a built-in one; the others stay."""
    config = tmp_path / "voiceauth.toml"
    config.write_text(
        '[retention.rules.inactive]\nsince = "last_interaction"\ndays = 365\n'
        '[retention.rules.own]\nsince = "created"\ndays = 9\n'
    )

    found = {one.name: one.days for one in retention_rules(load(config, environment=False)).rules}

    assert found["inactive"] == 365
    assert {"bipa", "texas", "colorado", "consent-ended", "own"} < set(found)
