# SPDX-License-Identifier: Apache-2.0
"""Value types that travel between rooms: frozen, without behaviour beyond their own invariants."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import NewType, NoReturn

import numpy as np
from numpy.typing import NDArray

from voiceauth.units import Cosine, Decibels, Hertz, Llr, Rate, Seconds

TenantId = NewType("TenantId", str)
SubjectId = NewType("SubjectId", str)
CallId = NewType("CallId", str)
VoiceprintId = NewType("VoiceprintId", str)
ChallengeId = NewType("ChallengeId", str)
ModelHash = NewType("ModelHash", str)
"""SHA-256 of the model file, lower-case hex: voiceprints of different hashes are never compared."""
KeyId = NewType("KeyId", str)
GroupName = NewType("GroupName", str)

Samples = NDArray[np.float32]
"""Mono audio, shape (samples,), nominal range -1 to 1."""
Embedding = NDArray[np.float32]
"""Speaker embedding, shape (dimension,), Euclidean norm 1 within 1e-4."""


class Encoding(StrEnum):
    """How audio bytes are coded on the wire."""

    MULAW = "mulaw"
    ALAW = "alaw"
    PCM16LE = "pcm16le"


class Bandwidth(StrEnum):
    """What frequencies the source really carried, whatever the sampling rate says."""

    NARROWBAND = "narrowband"
    """Up to about 4 kHz: the classic telephone."""
    WIDEBAND = "wideband"
    """Beyond 4 kHz: HD voice, microphones."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The declared layout of one audio stream.

    Attributes:
        encoding: G.711 implies 8000 Hz.
        rate_hz: samples per second and channel.
        channels: 1 or 2, interleaved.
        channel: zero-based index of the caller's channel.
    """

    encoding: Encoding
    rate_hz: Hertz = 8000
    channels: int = 1
    channel: int = 0


class Decision(StrEnum):
    """The four final answers about a claim. There is deliberately no boolean."""

    ACCEPT = "accept"
    STEP_UP = "step_up"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


class Progress(StrEnum):
    """Where a running verification stands before its verdict."""

    LISTENING = "listening"
    """Below the net-speech floor: no score exists."""
    UNDECIDED = "undecided"
    """Scored; more speech may still decide."""
    DECIDED = "decided"


class Reason(StrEnum):
    """Why evidence, a verdict or an uncounted segment is what it is. Names are stable."""

    MATCH = "match"
    """The implied false-match rate is at or below the policy's target."""
    MISMATCH = "mismatch"
    """The voice is not the claimed subject's at the policy's false-non-match target."""
    NOT_ENOUGH_SPEECH = "not_enough_speech"
    UNCERTAIN = "uncertain"
    """Neither target of the policy was reached with all the speech of the call."""
    NO_CALIBRATION_SUPPORT = "no_calibration_support"
    """The calibration tables do not cover this condition: never a guess."""
    VOICE_NOT_ACCEPTABLE_ALONE = "voice_not_acceptable_alone"
    """The policy asks for another factor even when the voice matches."""
    LOW_SNR = "low_snr"
    CLIPPED = "clipped"
    LOW_LEVEL = "low_level"
    DC_OFFSET = "dc_offset"
    TONE = "tone"
    DTMF = "dtmf"
    GAP = "gap"
    """Audio was lost inside this stretch."""
    UPSAMPLED_NARROWBAND = "upsampled_narrowband"
    """Declared wideband, but nothing above 4 kHz: treated as narrowband."""
    FORMAT_SUSPECT = "format_suspect"
    """The samples look like another encoding than declared."""
    INCOHERENT = "incoherent"
    """The segment does not sound like the rest of this enrolment."""
    DUPLICATE_VOICE = "duplicate_voice"
    """The voice is already enrolled under another subject."""
    ENGINE_FAULT = "engine_fault"
    """A part of the engine failed; the answer was made safe."""
    SPOOF_SUSPECTED = "spoof_suspected"
    REPLAY_SUSPECTED = "replay_suspected"
    CHALLENGE_FAILED = "challenge_failed"
    CHALLENGE_UNANSWERED = "challenge_unanswered"
    """A challenge was put to the caller, and whether it was met is not known."""
    SPEAKER_CHANGED = "speaker_changed"
    SYNTHETIC_NOT_EXCLUDED = "synthetic_not_excluded"
    """The policy's rate of accepted synthetic voices is not reached with the speech so far."""
    REPLAY_NOT_EXCLUDED = "replay_not_excluded"
    """The policy's rate of accepted replays is not reached with the speech so far."""
    SYNTHETIC_NOT_MEASURED = "synthetic_not_measured"
    """The layer is needed, and has said nothing: it is missing or has not heard enough."""
    REPLAY_NOT_MEASURED = "replay_not_measured"
    CONTINUITY_NOT_MEASURED = "continuity_not_measured"


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured on a stretch of audio.

    Attributes:
        snr_db: speech level over noise floor; None before both are known.
        level_dbfs: active speech level relative to full scale.
        clipped_fraction: share of speech samples at the rails, 0 to 1.
        dc_offset: mean of the samples, full scale 1.
        bandwidth: true source bandwidth, not the sampling rate.
        issues: what was found wrong; a segment with a disqualifying issue is not counted.
    """

    snr_db: Decibels | None
    level_dbfs: Decibels
    clipped_fraction: float
    dc_offset: float
    bandwidth: Bandwidth
    issues: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A stretch of net speech that is embedded once.

    Attributes:
        samples: speech at the model's rate, pauses limited as in training, shape (samples,).
        net_seconds: speech in it, without the pauses kept for context.
        start_seconds: stream time of its first sample.
        end_seconds: stream time just after its last sample.
        quality: measured on this span; ``issues`` says why it is not counted, if it is not.
        counted: False when it must not add to the evidence or the enrolment.
        hops: place in the stream of each 10 ms of ``samples``, rising, shape (hops,); empty where
            it is not known. Pauses that were cut out show as gaps.
    """

    samples: Samples
    net_seconds: Seconds
    start_seconds: Seconds
    end_seconds: Seconds
    quality: Quality
    counted: bool = True
    hops: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Score:
    """One calibrated comparison of a probe with a subject's voiceprints.

    Attributes:
        raw: the (normalised) similarity that was calibrated.
        llr: natural-log likelihood ratio, None outside the tables' support.
        false_match_rate: chance that an impostor reaches this LLR, None outside support.
        false_non_match_rate: chance that the true speaker scores this low or lower.
        floor_reached: True when the rate is the smallest that the tables can support, so the
            true one may be smaller.
    """

    raw: Cosine
    llr: Llr | None
    false_match_rate: Rate | None
    false_non_match_rate: Rate | None
    floor_reached: bool = False


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


class ChallengeKind(StrEnum):
    """What a caller is asked to say."""

    DIGITS = "digits"
    PHRASE = "phrase"


class ChallengeOutcome(StrEnum):
    """How a challenge ended; absent is not the same as passed."""

    PASSED = "passed"
    FAILED = "failed"
    ABSENT = "absent"
    """Nothing can be said: ``ChallengeCause`` says why."""


class ChallengeCause(StrEnum):
    """Why a challenge ended as it did. Names are stable."""

    MATCH = "match"
    """The right words, in the claimed voice, in time."""
    WRONG_CONTENT = "wrong_content"
    WRONG_VOICE = "wrong_voice"
    """The span of the answer is not the claimed subject's voice."""
    TOO_EARLY = "too_early"
    """The answer had begun before the prompt ended."""
    TOO_LATE = "too_late"
    """No answer began within the time window."""
    RECOGNISER_MISSING = "recogniser_missing"
    """The server has no recogniser, and the client sent no result of its own."""
    RECOGNISER_FAILED = "recogniser_failed"
    """The recogniser raised an error or took too long."""
    VOICE_NOT_SCORED = "voice_not_scored"
    """The answer is too short or too poor to be compared with the voiceprint."""
    CUT_SHORT = "cut_short"
    """The call ended, or audio was lost, before the answer was complete."""


class RecognitionSource(StrEnum):
    """Who recognised the words of an answer."""

    ENGINE = "engine"
    CLIENT = "client"
    """The IVR sent the result of a recogniser of its own; the engine did not check it."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a recogniser heard in an answer.

    Attributes:
        tokens: the words, in order, as in the vocabulary.
        llr: that the expected words were said, over that other words of the vocabulary were.
    """

    tokens: tuple[str, ...]
    llr: Llr


@dataclass(frozen=True, slots=True)
class Challenge:
    """Words that a caller has to say, once, in one call.

    Attributes:
        words: to be said, in order.
        expires_at: UTC; the prompt must have ended before.
        start_within_seconds: the answer must begin this soon after the prompt.
        attempt: 1 for the first challenge of the call.
        attempts_left: further challenges that this call may get.
    """

    challenge: ChallengeId
    kind: ChallengeKind
    words: tuple[str, ...]
    expires_at: datetime
    start_within_seconds: Seconds
    attempt: int
    attempts_left: int


@dataclass(frozen=True, slots=True)
class ChallengeEvidence:
    """How the last challenge of a call was met.

    Attributes:
        content_llr: that the asked words were said; None when nothing was recognised.
        voice_llr: of the answer's span against the voiceprint; None when not scored.
        onset_seconds: from the end of the prompt to the answer; None without an answer.
        source: who recognised the words; None when nobody did.
        attempt: as in ``Challenge``.
    """

    challenge: ChallengeId
    outcome: ChallengeOutcome
    cause: ChallengeCause
    attempt: int
    content_llr: Llr | None = None
    voice_llr: Llr | None = None
    onset_seconds: Seconds | None = None
    source: RecognitionSource | None = None


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
class Evidence:
    """What is known so far about a claim; sent whenever it changes.

    Attributes:
        progress: whether a score exists and whether the verdict is due.
        heard_seconds: audio received.
        net_speech_seconds: speech that counted.
        net_speech_needed_seconds: further net speech before the next step (first score, or
            the policy's full length); 0 when none is needed.
        score: None below the net-speech floor.
        quality: of the speech so far; None before any speech.
        liveness: slots per layer.
        reasons: in order of weight.
        challenge: how the last challenge was met; None before one was.
        replay: comparison with earlier calls; None before there was one.
        combined_llr: of the claimed, living speaker against every other way to sound like this:
            see ``decision.fusion``; None without a calibrated speaker score.
        spoof_false_accept_rate: worst of the layers' rates; None when no layer has one.
    """

    progress: Progress
    heard_seconds: Seconds
    net_speech_seconds: Seconds
    net_speech_needed_seconds: Seconds
    score: Score | None = None
    quality: Quality | None = None
    liveness: Liveness = Liveness()
    reasons: tuple[Reason, ...] = ()
    challenge: ChallengeEvidence | None = None
    replay: ReplayEvidence | None = None
    combined_llr: Llr | None = None
    spoof_false_accept_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The final, recorded answer about a claim.

    Attributes:
        decision: one of four; compare it, never test it.
        evidence: what it rests on.
        policy: name of the policy that was applied.
        target_false_match_rate: of that policy.
        record_id: ledger sequence number of the decision record, None until written.
        model: hash of the speaker model.
        calibration: version of the calibration tables.
        max_spoof_false_accept: of that policy; None from a server that knows no such rate.
        spoof_model: hash of the model that looked for synthetic speech; None without one.
    """

    decision: Decision
    evidence: Evidence
    policy: str
    target_false_match_rate: Rate
    record_id: int | None
    model: ModelHash
    calibration: str
    max_spoof_false_accept: Rate | None = None
    spoof_model: ModelHash | None = None

    def __bool__(self) -> NoReturn:
        """Refuse truth testing: ``if verdict:`` would read a rejection as success."""
        raise TypeError("a Verdict has no truth value; compare verdict.decision")


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


class SubjectState(StrEnum):
    """Life of a subject, without erasure: an erased subject leaves no record."""

    ACTIVE = "active"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class Consent:
    """A recorded permission to collect and use one subject's voiceprint.

    Attributes:
        text_sha256: hash of the exact text that was read or shown, lower-case hex.
        purpose: what it permits, for example ``authentication``.
        locale: BCP 47 tag of the text.
        method: how it was given, for example ``ivr-keypress`` or ``spoken``.
        given_at: UTC.
        expires_at: UTC; None for no fixed end.
        withdrawn_at: UTC; None while in force.
    """

    text_sha256: str
    purpose: str
    locale: str
    method: str
    given_at: datetime
    expires_at: datetime | None = None
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A person known to one tenant, as read from the vault.

    Attributes:
        groups: named lists that Identify may search; names only.
        net_enrolled_seconds: over all voiceprints of the current model.
        pending_seconds: net speech of an unfinished enrolment.
    """

    tenant: TenantId
    subject: SubjectId
    state: SubjectState
    created_at: datetime
    groups: frozenset[GroupName] = frozenset()
    consent: Consent | None = None
    voiceprints: int = 0
    net_enrolled_seconds: Seconds = 0.0
    pending_seconds: Seconds = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class EnrolmentSegment:
    """One counted stretch of enrolment speech, with where it came from.

    Attributes:
        embedding: unit norm, shape (dimension,).
        net_seconds: weight in the voiceprint.
        call: the call it was heard in.
        start_seconds: stream time in that call.
        end_seconds: stream time in that call.
        snr_db: None if unknown.
        bandwidth: of the source.
    """

    embedding: Embedding
    net_seconds: Seconds
    call: CallId
    start_seconds: Seconds
    end_seconds: Seconds
    snr_db: Decibels | None
    bandwidth: Bandwidth


@dataclass(frozen=True, slots=True, eq=False)
class Voiceprint:
    """One enrolment of a subject under one model.

    Attributes:
        embedding: net-seconds-weighted mean of its segments, unit norm, shape (dimension,).
        model: hash of the model that made it; scores never cross models.
        net_seconds: total net speech in it.
        segments: provenance; a segment can be withdrawn and the voiceprint rebuilt.
    """

    voiceprint: VoiceprintId
    subject: SubjectId
    model: ModelHash
    embedding: Embedding
    net_seconds: Seconds
    created_at: datetime
    segments: tuple[EnrolmentSegment, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One row of an identification result: a lead to look at, never an acceptance."""

    subject: SubjectId
    score: Score


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates of an identification so far, best first.

    Attributes:
        searched: subjects that were searched.
        false_positive_identification_rate: chance that a search over other people reaches the best
            candidate's score; None without candidates or support.
        final: True in the last ranking of a call.
    """

    candidates: tuple[Candidate, ...]
    evidence: Evidence
    searched: int
    false_positive_identification_rate: Rate | None
    final: bool = False


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What became of one stretch of enrolment speech."""

    start_seconds: Seconds
    end_seconds: Seconds
    net_seconds: Seconds
    counted: bool
    reasons: tuple[Reason, ...]
    quality: Quality


@dataclass(frozen=True, slots=True)
class EnrolmentProgress:
    """How far an enrolment has come, earlier calls included."""

    net_seconds: Seconds
    needed_seconds: Seconds
    carried_over_seconds: Seconds
    segment: SegmentReport | None = None


class EnrolmentOutcome(StrEnum):
    """How an enrolment call ended."""

    ENROLLED = "enrolled"
    """A voiceprint was stored."""
    PARTIAL = "partial"
    """Not enough yet; what was collected is kept for the next call."""
    DUPLICATE = "duplicate"
    """The voice is already enrolled under another subject; what was collected was discarded."""
    INCOHERENT = "incoherent"
    """The segments do not sound like one person; what was collected was discarded."""
    NOT_LIVE = "not_live"
    """The call's speech is not shown to be living; nothing of it was stored, earlier calls stay."""
    WATCHLISTED = "watchlisted"
    """The voice is on a watchlist; what was collected was discarded. Whose it is, is not told."""


@dataclass(frozen=True, slots=True)
class EnrolmentResult:
    """What is durable after an enrolment call.

    Attributes:
        net_seconds: in the stored voiceprint, or kept for the next call.
        record_id: ledger sequence number.
        voiceprints: of this subject now.
        voiceprint: id of the stored one, if one was stored.
        duplicate: the other subject, with DUPLICATE only.
        reasons: why, with NOT_LIVE.
    """

    outcome: EnrolmentOutcome
    net_seconds: Seconds
    record_id: int
    voiceprints: int
    voiceprint: VoiceprintId | None = None
    duplicate: SubjectId | None = None
    reasons: tuple[Reason, ...] = ()


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


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is told about a model in use."""

    role: str
    name: str
    sha256: str
    licence: str
    rate_hz: Hertz
    dimension: int


class SubjectStanding(Enum):
    """What Verify finds behind a claim; never shown to the caller of Verify."""

    ENROLLED = "enrolled"
    UNKNOWN = "unknown"
    NOT_ENROLLED = "not_enrolled"
    CONSENT_ENDED = "consent_ended"
    OPTED_OUT = "opted_out"


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One link of the audit chain.

    Attributes:
        sequence: starts at 1, without gaps.
        at: UTC time of the event.
        tenant: whose event it is; empty for the installation itself.
        event: stable dotted name, for example ``verify.verdict``.
        body: canonical JSON of the event; identifiers are pseudonyms.
        previous_hash: of the entry before; 32 zero bytes for the first.
        entry_hash: SHA-256 over all the above.
    """

    sequence: int
    at: datetime
    tenant: TenantId
    event: str
    body: str
    previous_hash: bytes = field(repr=False)
    entry_hash: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key-encryption key.

    Attributes:
        scope: the tenant whose data keys it wraps; empty for the installation's first key.
        created_at: UTC.
        current: whether new data keys of the scope are wrapped under it.
    """

    key_id: KeyId
    scope: str
    created_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """The newest checkpoint of the ledger, as the vault keeps it.

    Attributes:
        note: the signed text.
        peaks: of the Merkle tree it covers, 32 bytes each, largest first.
    """

    note: str
    peaks: bytes = field(repr=False)
