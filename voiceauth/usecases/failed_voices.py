# SPDX-License-Identifier: Apache-2.0
"""Recognise a voice that was rejected before, whatever name it gave: for the alerts, nothing else.

Rules:

* Embeddings of rejected calls stay in this process's memory, so many per tenant and for so long,
  and never reach a disk. A restart forgets them.
* What leaves is a token that was drawn by chance: it says nothing about the voice, and nothing can
  be compared with it.
* Two calls are one voice when other people would be taken for one as rarely as the rate says, over
  the whole search, by the same calibration that verdicts rest on. Without support: another voice.
* It never takes part in a decision.
"""

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from voiceauth.errors import EngineError
from voiceauth.ports import Clock, Random, Scorer, VoiceMemory
from voiceauth.types import Bandwidth, Decision, Embedding, TenantId
from voiceauth.units import Decibels, Rate, Seconds
from voiceauth.usecases.duplicates import search_rate
from voiceauth.usecases.probe import Probe

MOST_VOICES = 500
MOST_TENANTS = 200
KEPT_SECONDS: Seconds = 86_400.0
FALSE_MATCH_RATE: Rate = 0.02
"""Chance that somebody new is taken for any of the remembered voices."""
_LOOKED_AT = 5
_TOKEN_BYTES = 26
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """The speech of one rejected call."""

    at: Seconds
    voice: Embedding
    net_seconds: Seconds
    token: str


class FailedVoices:
    """``ports.VoiceMemory`` in memory. Safe from several threads.

    Args:
        scorer: of the engine.
        clock: of which only the steady counter matters.
        random: makes tokens.
        kept_seconds: after that a voice is forgotten.
        false_match_rate: see ``FALSE_MATCH_RATE``.
    """

    def __init__(
        self,
        scorer: Scorer,
        clock: Clock,
        random: Random,
        *,
        kept_seconds: Seconds = KEPT_SECONDS,
        false_match_rate: Rate = FALSE_MATCH_RATE,
    ) -> None:
        self._scorer = scorer
        self._clock = clock
        self._random = random
        self._kept = kept_seconds
        self._rate = false_match_rate
        self._heard: dict[TenantId, deque[_Heard]] = {}
        self._lock = threading.Lock()

    def token(
        self,
        tenant: TenantId,
        voice: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        snr_db: Decibels | None = None,
    ) -> str:
        """Return what stands for a voice, and remember it. See ``ports.VoiceMemory``."""
        with self._lock:
            heard = self._of(tenant)
            now = self._clock.monotonic()
            while heard and now - heard[0].at > self._kept:
                heard.popleft()
            token = self._known(heard, voice, net_seconds, bandwidth, snr_db) or self._new_token()
            heard.append(_Heard(now, voice, net_seconds, token))
            return token

    def _of(self, tenant: TenantId) -> deque[_Heard]:
        heard = self._heard.pop(tenant, None) or deque(maxlen=MOST_VOICES)
        self._heard[tenant] = heard  # the one used last stands last
        if len(self._heard) > MOST_TENANTS:
            del self._heard[next(iter(self._heard))]
        return heard

    def _known(
        self,
        heard: deque[_Heard],
        voice: Embedding,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        snr_db: Decibels | None,
    ) -> str | None:
        if not heard:
            return None
        likeness = np.stack([one.voice for one in heard]) @ voice
        for place in np.argsort(likeness)[::-1][:_LOOKED_AT]:
            other = heard[int(place)]
            score = self._scorer.score(
                voice,
                other.voice,
                net_seconds=net_seconds,
                bandwidth=bandwidth,
                enrolled_seconds=other.net_seconds,
                snr_db=snr_db,
            )
            rate = search_rate(score, len({one.token for one in heard}))
            if rate is not None and rate <= self._rate:
                return other.token
        return None

    def _new_token(self) -> str:
        return "".join(_LETTERS[one % 32] for one in self._random.token(_TOKEN_BYTES))


def rejected_voice(
    voices: VoiceMemory | None, tenant: TenantId, decision: Decision | None, probe: Probe
) -> str | None:
    """Return what stands for the voice of a call that was rejected; None for every other call.

    What serves the alerts alone never costs a verdict: a comparison that fails is none.
    """
    if voices is None or decision is not Decision.REJECT:
        return None
    with suppress(EngineError):
        return voices.token(
            tenant,
            probe.mean(),
            net_seconds=probe.net_seconds,
            bandwidth=probe.bandwidth,
            snr_db=probe.snr_db,
        )
    return None
