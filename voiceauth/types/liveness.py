# SPDX-License-Identifier: Apache-2.0
"""What is known about whether a voice is live."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from voiceauth.types.names import CallId
from voiceauth.types.reasons import Reason
from voiceauth.units import Llr, Rate, Seconds


class LivenessState(StrEnum):
    """State of one liveness layer; absent is not the same as passed."""

    NOT_MEASURED = "not_measured"
    """There is nothing to measure with: no model, no earlier recording, no challenge."""
    LIVE = "live"
    SUSPECT = "suspect"
    PENDING = "pending"
    """The layer runs in this call and has not heard enough yet; it holds an ACCEPT back."""


class LivenessLayer(StrEnum):
    """What can speak about liveness; the names are those of the fields of ``Liveness``."""

    SYNTHETIC = "synthetic"
    REPLAY = "replay"
    CHALLENGE = "challenge"
    CONTINUITY = "continuity"


@dataclass(frozen=True, slots=True)
class LivenessSlot:
    """One liveness layer's word.

    Attributes:
        state: what the layer says, or why it says nothing.
        llr: natural-log ratio, positive for live; None when not measured.
        false_accept_rate: chance that an attack of this layer's kind gets this far up; None when
            not measured, or where the layer has no rates.
        false_reject_rate: chance that a living caller comes out this low; None as above.
    """

    state: LivenessState = LivenessState.NOT_MEASURED
    llr: Llr | None = None
    false_accept_rate: Rate | None = None
    false_reject_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Liveness:
    """The liveness layers of a call."""

    synthetic: LivenessSlot = LivenessSlot()
    replay: LivenessSlot = LivenessSlot()
    challenge: LivenessSlot = LivenessSlot()
    continuity: LivenessSlot = LivenessSlot()


@dataclass(frozen=True, slots=True)
class ReplayEvidence:
    """What the comparison with the recordings of earlier calls says.

    Attributes:
        llr: positive for live speech, negative for a replay.
        agreement: share of agreeing bits beyond chance, -1 to 1; never sent to a client.
        call: the earlier call that is repeated; None where nothing is.
        matched_seconds: length of the stretches that repeat it.
        compared_seconds: length of what was compared.
        speed: of the call against the recording, as far as it was tried.
    """

    llr: Llr
    agreement: float
    call: CallId | None
    matched_seconds: Seconds
    compared_seconds: Seconds
    speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Continuity:
    """Whether the voice after a verdict is still the one before it.

    Attributes:
        state: SUSPECT for a hand-over, NOT_MEASURED where nothing was watched: no pass.
        heard_seconds: audio received in the whole call.
        net_speech_seconds: speech since the verdict that was watched.
        llr: of the newest stretch, same speaker over another; None before the first one.
        changed_at_seconds: stream time at which the voice changed, as estimated; SUSPECT only.
        reasons: SPEAKER_CHANGED with SUSPECT, ENGINE_FAULT if the watch failed.
        final: no more will come.
        record_id: ledger sequence number, None before the final one.
    """

    state: LivenessState
    heard_seconds: Seconds
    net_speech_seconds: Seconds = 0.0
    llr: Llr | None = None
    changed_at_seconds: Seconds | None = None
    reasons: tuple[Reason, ...] = ()
    final: bool = False
    record_id: int | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A keyed acoustic fingerprint of the speech in a call.

    Attributes:
        version: of the learned part that made it; others cannot be compared with it.
        frames: 32 bits each, one per 32 ms.
        bits: packed, 4 bytes per frame; all zero where nothing was said.
    """

    version: str
    frames: int
    bits: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeardRecording:
    """The fingerprint of what was heard in one call of a subject.

    Attributes:
        call: where it was heard.
        heard_at: UTC.
    """

    call: CallId
    heard_at: datetime
    fingerprint: Fingerprint
