# SPDX-License-Identifier: Apache-2.0
"""Words of a decision: what is decided, how far it is, and why."""

from enum import StrEnum


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
    CONSENT_ENDED = "consent_ended"
    """The consent was withdrawn, has expired or is not valid yet: the voice is not looked at."""
    OPTED_OUT = "opted_out"
    """The person wants no voice biometrics: the voice is not looked at."""
