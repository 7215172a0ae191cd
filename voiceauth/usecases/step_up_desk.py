# SPDX-License-Identifier: Apache-2.0
"""What step-ups work with: limits, the check of each factor, and a clock that must not go back."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from voiceauth.config import Settings
from voiceauth.decision.lockout import LockoutRules
from voiceauth.decision.step_up import GuessTerms
from voiceauth.errors import ClockJumpedError
from voiceauth.factors.delivery import FileDelivery, Webhook, WebhookDelivery
from voiceauth.factors.pin import PinHasher
from voiceauth.keys.secret_file import read_secret
from voiceauth.ports import Clock, CodeDelivery, KeyService, Vault
from voiceauth.types import Counter, FactorKind
from voiceauth.units import Seconds
from voiceauth.usecases.steady_time import SteadyTime

TOLERATED_SECONDS = 30.0
"""How far the clock may be set back, as time servers do, before codes are not taken any more."""
COUNTERS = {
    FactorKind.TOTP: Counter.TOTP,
    FactorKind.CODE: Counter.CODE,
    FactorKind.PIN: Counter.PIN,
}


@dataclass(frozen=True, slots=True)
class StepUpRules:
    """Limits of step-ups; the settings' ``[step_up]``."""

    open_seconds: Seconds = 600.0
    answers: int = 5
    codes: int = 3
    code_seconds: Seconds = 600.0
    totp_window: int = 1
    pin_digits: int = 6
    issuer: str = "voiceauth"

    @property
    def guesses(self) -> GuessTerms:
        """How good blind guesses are under these limits."""
        return GuessTerms(self.answers, 2 * self.totp_window + 1, self.pin_digits)


@dataclass(frozen=True, slots=True)
class Keys:
    """Secrets of the installation that factors need; 32 bytes each."""

    codes: bytes = field(repr=False)
    pins: bytes = field(repr=False)


class StepUpDesk:
    """One installation's step-ups. Safe from several threads.

    Args:
        clock: of the engine.
        keys: of codes and PINs.
        rules: limits.
        delivery: of one-time codes; None where none are sent.
        pins: hashes PINs; default with the full cost.
    """

    def __init__(
        self,
        clock: Clock,
        keys: Keys,
        rules: StepUpRules | None = None,
        delivery: CodeDelivery | None = None,
        pins: PinHasher | None = None,
    ) -> None:
        self._clock = clock
        self._steady = SteadyTime(clock)
        self._latest = clock.now()
        self.rules = rules or StepUpRules()
        self.delivery = delivery
        self.pins = pins or PinHasher(keys.pins)
        self.code_key = keys.codes
        self.limits = LockoutRules()

    def steady(self) -> datetime:
        """Return the time that delays are counted in."""
        return self._steady.now()

    def now(self) -> datetime:
        """Return the time that codes are checked by.

        Raises:
            ClockJumpedError: the clock was set back: codes of the past would be right again.
        """
        now = self._clock.now()
        if now < self._latest - timedelta(seconds=TOLERATED_SECONDS):
            raise ClockJumpedError(detail=f"the clock went from {self._latest} back to {now}")
        self._latest = max(self._latest, now)
        return now

    def tidy(self, vault: Vault) -> None:
        """Forget step-ups that have been over for a day. Blocking. Raises StorageError."""
        with vault.begin() as transaction:
            transaction.forget_step_ups(before=self._clock.now() - timedelta(days=1))


def step_up_desk(settings: Settings, keys: KeyService, clock: Clock) -> StepUpDesk:
    """Return what runs step-ups.

    Raises:
        SettingsError: the webhook's address or key cannot be used.
    """
    chosen = settings.step_up
    places = {"delivery", "delivery_file", "webhook_url", "webhook_key_file"}
    return StepUpDesk(
        clock,
        Keys(keys.derive("one-time-code"), keys.derive("pin-pepper")),
        StepUpRules(**chosen.model_dump(exclude=places)),
        _delivery(settings, clock),
    )


def step_up_chore(desk: StepUpDesk, vault: Vault) -> partial[None]:
    """Return what a server repeats to keep to the time of step-ups."""
    return partial(desk.tidy, vault)


def _delivery(settings: Settings, clock: Clock) -> CodeDelivery | None:
    chosen = settings.step_up
    if chosen.delivery == "file" and chosen.delivery_file is not None:
        return FileDelivery(chosen.delivery_file)
    if chosen.delivery == "webhook" and chosen.webhook_url and chosen.webhook_key_file:
        key = read_secret(chosen.webhook_key_file)
        return WebhookDelivery(Webhook(chosen.webhook_url, key), clock)
    return None
