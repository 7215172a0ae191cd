# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from fake_engine import CosineScorer

from voiceauth.errors import KeyServiceError
from voiceauth.testing.fakes import FakeClock, FakeRandom
from voiceauth.testing.records import made_up_embedding
from voiceauth.types import Bandwidth, Decision, Embedding, Quality, Span, TenantId
from voiceauth.usecases import failed_voices
from voiceauth.usecases.failed_voices import KEPT_SECONDS, FailedVoices, rejected_voice
from voiceauth.usecases.probe import Probe

BANK, SHOP = TenantId("bank"), TenantId("shop")


def memory(clock: FakeClock | None = None) -> FailedVoices:
    """Return an empty memory."""
    return FailedVoices(CosineScorer(), clock or FakeClock(), FakeRandom())


def heard(
    voices: FailedVoices, voice: Embedding, tenant: TenantId = BANK, seconds: float = 5.0
) -> str:
    """Return the token of a voice."""
    return voices.token(tenant, voice, net_seconds=seconds, bandwidth=Bandwidth.NARROWBAND)


def test_a_voice_that_comes_again_has_the_same_token() -> None:
    """However many others were heard between."""
    voices = memory()
    first = heard(voices, made_up_embedding(1))
    others = {heard(voices, made_up_embedding(n)) for n in range(2, 40)}

    assert heard(voices, made_up_embedding(1)) == first
    assert first not in others
    assert len(others) == 38


def test_a_token_looks_like_a_pseudonym_and_says_nothing() -> None:
    """Two installations name one voice differently."""
    first = heard(memory(), made_up_embedding(1))
    other = FailedVoices(CosineScorer(), FakeClock(), FakeRandom(7))

    assert len(first) == 26
    assert first != heard(other, made_up_embedding(1))


def test_voices_of_two_tenants_are_never_compared() -> None:
    """What one tenant's attacker does is not another tenant's to know."""
    voices = memory()

    assert heard(voices, made_up_embedding(1)) != heard(voices, made_up_embedding(1), SHOP)


def test_a_comparison_without_support_is_another_voice() -> None:
    """Too little speech says nothing."""
    voices = memory()
    first = heard(voices, made_up_embedding(1))

    assert heard(voices, made_up_embedding(1), seconds=1.0) != first


def test_after_a_day_a_voice_is_forgotten() -> None:
    """By the steady counter: the clock on the wall does not matter."""
    clock = FakeClock()
    voices = memory(clock)
    first = heard(voices, made_up_embedding(1))
    clock.jump(10 * KEPT_SECONDS)
    assert heard(voices, made_up_embedding(1)) == first
    clock.advance(KEPT_SECONDS + 1)

    assert heard(voices, made_up_embedding(1)) != first


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many voices per tenant and so many tenants; the oldest make room."""
    monkeypatch.setattr(failed_voices, "MOST_VOICES", 5)
    monkeypatch.setattr(failed_voices, "MOST_TENANTS", 2)
    voices = memory()
    first = heard(voices, made_up_embedding(1))
    for n in range(2, 9):
        heard(voices, made_up_embedding(n))
    assert heard(voices, made_up_embedding(1)) != first

    last = heard(voices, made_up_embedding(3), SHOP)
    for name in ("a", "b"):
        heard(voices, made_up_embedding(3), TenantId(name))
    assert heard(voices, made_up_embedding(3), SHOP) != last


def test_somebody_alike_is_not_taken_for_one() -> None:
    """A likeness that other people would reach as well is none."""
    voices = memory()
    first = made_up_embedding(1)
    between = first + 1.2 * made_up_embedding(2)
    token = heard(voices, first)

    assert heard(voices, (between / np.linalg.norm(between)).astype(np.float32)) != token


def probe() -> Probe:
    """Return five seconds of a voice."""
    found = Probe()
    quality = Quality(20.0, -20.0, 0.0, 0.0, Bandwidth.NARROWBAND)
    samples = np.zeros(8, dtype=np.float32)
    found.add(Span(samples, 5.0, 0.0, 5.0, quality), made_up_embedding(1))
    return found


@pytest.mark.parametrize("decision", [Decision.ACCEPT, Decision.STEP_UP, None])
def test_only_rejected_voices_are_remembered(decision: Decision | None) -> None:
    """Who is let in, or asked for more, is nobody's business here."""
    voices = memory()

    assert rejected_voice(voices, BANK, decision, probe()) is None
    assert voices._heard == {}


def test_a_rejected_voice_has_a_token() -> None:
    """It stands in the record of the verdict."""
    voices = memory()

    assert rejected_voice(voices, BANK, Decision.REJECT, probe()) == heard(
        voices, made_up_embedding(1)
    )
    assert rejected_voice(None, BANK, Decision.REJECT, probe()) is None


def test_a_memory_that_fails_costs_no_verdict() -> None:
    """What serves the alerts alone is left out where it does not work."""

    class Failing(CosineScorer):
        def score(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise KeyServiceError

    voices = FailedVoices(Failing(), FakeClock(), FakeRandom())  # type: ignore[arg-type]
    heard(voices, made_up_embedding(1))

    assert rejected_voice(voices, BANK, Decision.REJECT, probe()) is None
