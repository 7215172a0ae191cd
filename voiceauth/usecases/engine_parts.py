# SPDX-License-Identifier: Apache-2.0
"""Parts of an engine as its settings choose them: policies, rules, challenges, memories."""

from collections.abc import Callable
from datetime import timedelta

from voiceauth.config import Settings
from voiceauth.consent.retention import Erases, Rule, Since
from voiceauth.decision.policy import Policy
from voiceauth.errors import MissingExtraError, SettingsError
from voiceauth.liveness.challenge import ChallengeOptions
from voiceauth.liveness.challenge_book import ChallengeBook
from voiceauth.ports import Clock, ManagedKeys, Random, Recognizer
from voiceauth.recognition.pocketsphinx import PocketSphinxRecognizer
from voiceauth.types import FactorKind, LivenessLayer, Route
from voiceauth.usecases.engine import ChallengeDesk, RetentionRules
from voiceauth.usecases.keep_keys import KeyDesk
from voiceauth.usecases.replay_guard import ReplayGuard, ReplayRules
from voiceauth.usecases.shared_challenges import SharedChallengeBook
from voiceauth.vault.store import SqliteVault

_DAY_SECONDS = 86_400.0


def key_desk(settings: Settings, vault: SqliteVault, keys: ManagedKeys, clock: Clock) -> KeyDesk:
    """Return what looks after the age of keys as the settings say."""
    rotate, backups = settings.keyring.rotate_days, settings.keyring.backup_days
    return KeyDesk(
        vault,
        keys,
        clock,
        rotate_after=timedelta(days=rotate) if rotate else None,
        backups_kept=timedelta(days=backups) if backups else None,
    )


def challenge_desk(
    settings: Settings,
    random: Random,
    vault: SqliteVault,
    recogniser: Recognizer | None = None,
) -> ChallengeDesk | None:
    """Return what challenges need, None where they are switched off.

    Args:
        settings: of which ``challenge`` matters here.
        random: of the words and ids.
        vault: through which several processes share what was asked.
        recogniser: of the operator, instead of the one that the settings name.

    Raises:
        MissingExtraError: the recogniser that the settings name is not installed.
    """
    if not settings.challenge.enabled:
        return None
    ours = {"enabled", "accept_client_recognition", "recogniser"}
    options = ChallengeOptions(**settings.challenge.model_dump(exclude=ours))
    return ChallengeDesk(
        book=(
            ChallengeBook(options, random)
            if settings.server.workers == 1
            else SharedChallengeBook(options, random, vault)
        ),
        options=options,
        recogniser=recogniser or _recogniser(settings.challenge.recogniser),
        accept_client_recognition=settings.challenge.accept_client_recognition,
    )


def replay_guard(
    settings: Settings, secret: Callable[[str], bytes], clock: Clock
) -> ReplayGuard | None:
    """Return the memory of accepted calls, None where it is switched off."""
    chosen = settings.liveness
    if not chosen.replay:
        return None
    rules = ReplayRules(
        retention_seconds=chosen.replay_retention_days * _DAY_SECONDS,
        most_recordings=chosen.replay_recordings,
        longest_seconds=chosen.replay_recording_seconds,
    )
    return ReplayGuard(secret, clock, rules)


def retention_rules(settings: Settings) -> RetentionRules:
    """Return how long what is kept of people may be kept."""
    chosen = settings.retention
    return RetentionRules(
        rules=tuple(
            Rule(
                name=name,
                since=Since(one.since),
                days=one.days,
                erases=Erases(one.erases),
                purposes=frozenset(one.purposes),
                jurisdictions=frozenset(one.jurisdictions),
            )
            for name, one in chosen.rules.items()
        ),
        jurisdiction=chosen.jurisdiction,
        largest_clock_step=timedelta(days=chosen.largest_clock_step_days),
    )


def _recogniser(name: str) -> Recognizer | None:
    """Open a recogniser by its name in the settings. Raises MissingExtraError."""
    if name == "off":
        return None
    try:
        return PocketSphinxRecognizer()
    except MissingExtraError:
        if name == "auto":
            return None
        raise


def policies_of(settings: Settings, *, synthetic: bool) -> dict[str, Policy]:
    """Map the settings' policies. Raises SettingsError where one could never accept anybody."""
    policies = {
        name: Policy(
            name=name,
            step_seconds=settings.speech.span_seconds,
            **one.model_dump(exclude={"require_liveness", "routes"}),
            require_liveness=frozenset(map(LivenessLayer, one.require_liveness)),
            routes=tuple(
                Route(frozenset(map(FactorKind, way.factors)), way.voice_false_match_rate)
                for way in one.routes
            ),
        )
        for name, one in settings.policies.items()
    }
    for name, policy in policies.items():
        if LivenessLayer.SYNTHETIC in policy.require_liveness and not synthetic:
            problem = "requires the layer 'synthetic', and no spoof model is installed"
            raise SettingsError(f"Policy {name}: require_liveness {problem}.")
    if settings.enrolment.require_synthetic and not synthetic:
        raise SettingsError("enrolment.require_synthetic: no spoof model is installed.")
    return policies
