# SPDX-License-Identifier: Apache-2.0
"""The one error family of the engine.

Every error has a stable code, says whether a retry can help, and keeps two texts apart:
``public`` is safe to send to any caller, ``detail`` goes to the operator's log only.
A rejection of a caller is not an error: it is a verdict (see ``voiceauth.types.Verdict``).

The class tree mirrors gRPC status codes; ``voiceauth.service`` owns the mapping.
"""

from typing import ClassVar


class EngineError(Exception):
    """Root of all errors that the engine raises on purpose.

    Args:
        public: one sentence that may leave the machine; never holds identifiers or audio.
        detail: what an operator needs to find the cause; log only.
    """

    code: ClassVar[str] = "engine_error"
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "The engine could not handle the request."

    def __init__(self, public: str | None = None, *, detail: str | None = None) -> None:
        self.public = public or self.default
        self.detail = detail
        super().__init__(self.public if detail is None else f"{self.public} ({detail})")


class InputError(EngineError):
    """The request itself is wrong; sending it again will fail again."""

    code = "invalid_input"
    default = "The request is not valid."


class BadAudioError(InputError):
    """Audio that cannot be what its declared format says (odd bytes, NaN, a WAV header)."""

    code = "bad_audio"
    default = "The audio does not match its declared format."


class UnsupportedFormatError(InputError):
    """An encoding, rate or channel layout that the engine does not take."""

    code = "unsupported_format"
    default = "This audio format is not supported."


class TooShortError(InputError):
    """Less audio than the operation needs."""

    code = "too_short"
    default = "There is not enough speech."


class TooLargeError(InputError):
    """A message or a file above its size limit."""

    code = "too_large"
    default = "The message is larger than allowed."


class StreamOrderError(InputError):
    """Stream messages out of order: no opening message, two of them, or audio after the end."""

    code = "stream_order"
    default = "The stream's messages are out of order."


class SettingsError(InputError):
    """A configuration file or environment override that cannot be used."""

    code = "bad_settings"
    default = "The settings are not valid."


class UnbatchableModelError(SettingsError):
    """A model whose graph cannot be run in padded batches, or answers otherwise in them."""

    code = "unbatchable_model"
    default = (
        "The model cannot run spans of unequal length in one batch: set models.batch_spans to 1."
    )


class PolicyError(EngineError):
    """The request is well formed, but a rule of the engine forbids it now."""

    code = "refused_by_policy"
    default = "A rule forbids this now."


class ConsentMissingError(PolicyError):
    """Enrolment without a recorded, unexpired, unwithdrawn consent."""

    code = "consent_missing"
    default = "There is no recorded consent for this subject."


class OptedOutError(PolicyError):
    """The subject has opted out of voice biometrics."""

    code = "opted_out"
    default = "This subject has opted out."


class SubjectExistsError(PolicyError):
    """A subject with this id is already there."""

    code = "subject_exists"
    default = "This subject already exists."


class UnknownPolicyError(PolicyError):
    """A decision policy name that the settings do not define."""

    code = "unknown_policy"
    default = "This policy is not defined."


class ChallengeRefusedError(PolicyError):
    """A challenge that is not known, was used, has expired, or is another call's."""

    code = "challenge_refused"
    default = "This challenge cannot be used."


class StepUpRefusedError(PolicyError):
    """A step-up that is not known, is over, is another call's, or does not take this."""

    code = "step_up_refused"
    default = "This step-up cannot be used."


class WeakPinError(InputError):
    """A PIN that is too short or among the first that anybody tries."""

    code = "weak_pin"
    default = "This PIN is too easily guessed."


class NotFoundError(EngineError):
    """A named thing is not there. Never raised towards the caller of Verify."""

    code = "not_found"
    default = "There is no such record."


class AccessError(EngineError):
    """The principal may not do this."""

    code = "access_denied"
    default = "Access denied."


class UnauthenticatedError(AccessError):
    """The peer did not show who it is, or what it showed does not hold."""

    code = "unauthenticated"
    default = "A valid client certificate or token is needed."


class SecondFactorMissingError(AccessError):
    """The principal is a person whose sign-in had no second factor."""

    code = "second_factor_missing"
    default = "This needs a sign-in with a second factor."


class SecondPersonMissingError(AccessError):
    """One person alone may not do this: nobody else has approved it, or it was the same person."""

    code = "second_person_missing"
    default = "This needs the approval of a second person."


class ApprovalInvalidError(AccessError):
    """An approval that is not known, over, used, or for something or somebody else."""

    code = "approval_invalid"
    default = "This approval cannot be used: it is unknown, over, used, or for something else."


class LimitError(EngineError):
    """A limit was reached; later, or with less, it may work."""

    code = "limit_reached"
    retryable = True
    default = "A limit was reached; try again later."


class BusyError(LimitError):
    """Too many calls at once: new ones are refused so that running ones stay fast."""

    code = "busy"
    default = "The engine is at capacity; try again shortly."


class StreamTooLongError(LimitError):
    """A stream beyond its allowed seconds, or idle for too long."""

    code = "stream_too_long"
    retryable = False
    default = "The stream exceeded its time limit."


class ChallengeLimitError(LimitError):
    """The call has had all its challenges; another factor is due."""

    code = "challenge_attempts"
    retryable = False
    default = "This call has had all its challenges."


class IntegrityError(EngineError):
    """Stored data is not what was written: nothing may be decided from it."""

    code = "integrity"
    default = "Stored data failed its integrity check."


class TagMismatchError(IntegrityError):
    """Authenticated decryption failed: wrong key, changed row, or a row moved elsewhere."""

    code = "tag_mismatch"


class ChainBrokenError(IntegrityError):
    """The ledger's hash chain does not hold.

    Args:
        index: sequence number of the first bad entry.
    """

    code = "chain_broken"

    def __init__(self, index: int, *, detail: str | None = None) -> None:
        self.index = index
        super().__init__(f"The ledger is broken at entry {index}.", detail=detail)


class ModelHashMismatchError(IntegrityError):
    """A model, calibration or cohort file differs from its manifest."""

    code = "model_hash_mismatch"
    default = "A model file differs from its manifest."


class WrongKeyError(IntegrityError):
    """The key-encryption key is not the one that this vault was written under."""

    code = "wrong_key"
    default = "This key does not open this vault."


class TransformLostError(IntegrityError):
    """Voiceprints are protected by a secret that is not there any more."""

    code = "transform_lost"
    default = "The secret that protects this tenant's voiceprints is missing."


class DependencyError(EngineError):
    """Something the engine needs is down; a retry may help."""

    code = "dependency_down"
    retryable = True
    default = "A needed service is not available."


class StorageError(DependencyError):
    """The vault could not be read or written (disk full, I/O error, locked)."""

    code = "storage_down"
    default = "The vault is not available."


class GalleryLoadingError(DependencyError):
    """1:N search before every voiceprint was read from the vault; 1:1 does not wait for it."""

    code = "gallery_loading"
    default = "The list of voices is still being loaded; try again shortly."


class KeyServiceError(DependencyError):
    """The key service could not wrap or unwrap a key."""

    code = "key_service_down"
    default = "The key service is not available."


class RecognitionError(DependencyError):
    """A speech recogniser is down, failed, or took too long."""

    code = "recogniser_down"
    default = "The speech recogniser is not available."


class SinkError(DependencyError):
    """An alert could not be handed over; it stays in the outbox."""

    code = "sink_down"
    default = "The receiver of alerts is not available."


class SinkRefusedError(SinkError):
    """The receiver answered and does not take this alert; others may go through."""

    code = "sink_refused"
    default = "The receiver of alerts refused one."


class DeliveryError(DependencyError):
    """A one-time code could not be handed over."""

    code = "delivery_down"
    default = "The code could not be sent."


class ClockJumpedError(DependencyError):
    """The clock of this machine was set back: codes that depend on the time are not taken."""

    code = "clock_jumped"
    default = "This cannot be checked now."


class MissingExtraError(DependencyError):
    """An optional Python package is not installed.

    Args:
        package: what is missing.
        extra: the extra of this distribution that brings it.
    """

    code = "missing_extra"
    retryable = False

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'voiceauth[{extra}]'.")


class InternalError(EngineError):
    """A fault of the engine itself."""

    code = "internal"
    default = "Internal error."


class ModelOutputError(InternalError):
    """A model returned NaN, infinity or a wrong shape."""

    code = "model_output"
