# SPDX-License-Identifier: Apache-2.0
"""One table from the engine's errors to gRPC status codes, and the text that goes with them.

Rules:

* A mistake of the caller is told in its own ``public`` sentence, so that it can be corrected.
* A fault of the server and a refusal are told in the class's general sentence only: particulars
  may name files and parts of the installation, or help whoever tries doors, and are for the log.
"""

from typing import NamedTuple

import grpc

from voiceauth import errors
from voiceauth.errors import EngineError, LimitError

_Status = grpc.StatusCode


class TooLateError(LimitError):
    """A unary request did not end within its deadline; what it began may still take effect."""

    code = "deadline_exceeded"
    default = "The request took too long."


STATUS: dict[type[EngineError], grpc.StatusCode] = {
    errors.EngineError: _Status.INTERNAL,
    errors.InputError: _Status.INVALID_ARGUMENT,
    errors.BadAudioError: _Status.INVALID_ARGUMENT,
    errors.UnsupportedFormatError: _Status.INVALID_ARGUMENT,
    errors.TooShortError: _Status.INVALID_ARGUMENT,
    errors.TooLargeError: _Status.INVALID_ARGUMENT,
    errors.StreamOrderError: _Status.INVALID_ARGUMENT,
    errors.SettingsError: _Status.INTERNAL,
    errors.UnbatchableModelError: _Status.INTERNAL,
    errors.PolicyError: _Status.FAILED_PRECONDITION,
    errors.ConsentMissingError: _Status.FAILED_PRECONDITION,
    errors.OptedOutError: _Status.FAILED_PRECONDITION,
    errors.SubjectExistsError: _Status.ALREADY_EXISTS,
    errors.UnknownPolicyError: _Status.FAILED_PRECONDITION,
    errors.ChallengeRefusedError: _Status.FAILED_PRECONDITION,
    errors.StepUpRefusedError: _Status.FAILED_PRECONDITION,
    errors.WeakPinError: _Status.INVALID_ARGUMENT,
    errors.NotFoundError: _Status.NOT_FOUND,
    errors.AccessError: _Status.PERMISSION_DENIED,
    errors.UnauthenticatedError: _Status.UNAUTHENTICATED,
    errors.SecondFactorMissingError: _Status.PERMISSION_DENIED,
    errors.SecondPersonMissingError: _Status.PERMISSION_DENIED,
    errors.ApprovalInvalidError: _Status.PERMISSION_DENIED,
    errors.LimitError: _Status.RESOURCE_EXHAUSTED,
    errors.BusyError: _Status.RESOURCE_EXHAUSTED,
    errors.StreamTooLongError: _Status.RESOURCE_EXHAUSTED,
    errors.ChallengeLimitError: _Status.RESOURCE_EXHAUSTED,
    TooLateError: _Status.DEADLINE_EXCEEDED,
    errors.IntegrityError: _Status.DATA_LOSS,
    errors.TagMismatchError: _Status.DATA_LOSS,
    errors.ChainBrokenError: _Status.DATA_LOSS,
    errors.ModelHashMismatchError: _Status.DATA_LOSS,
    errors.WrongKeyError: _Status.DATA_LOSS,
    errors.TransformLostError: _Status.DATA_LOSS,
    errors.DependencyError: _Status.UNAVAILABLE,
    errors.StorageError: _Status.UNAVAILABLE,
    errors.GalleryLoadingError: _Status.UNAVAILABLE,
    errors.KeyServiceError: _Status.UNAVAILABLE,
    errors.RecognitionError: _Status.UNAVAILABLE,
    errors.SinkError: _Status.UNAVAILABLE,
    errors.SinkRefusedError: _Status.UNAVAILABLE,
    errors.DeliveryError: _Status.UNAVAILABLE,
    errors.ClockJumpedError: _Status.UNAVAILABLE,
    errors.MissingExtraError: _Status.UNAVAILABLE,
    errors.InternalError: _Status.INTERNAL,
    errors.ModelOutputError: _Status.INTERNAL,
}
"""Complete by test: each class of ``voiceauth.errors`` stands here itself."""

SERVER_FAULTS = frozenset({_Status.INTERNAL, _Status.DATA_LOSS, _Status.UNAVAILABLE})
REFUSALS = frozenset({_Status.PERMISSION_DENIED, _Status.UNAUTHENTICATED})
"""Who was refused learns no more than the general sentence: the reason is for log and ledger."""


class Answer(NamedTuple):
    """What a caller is told about an error."""

    status: grpc.StatusCode
    text: str
    code: str


def answer(error: EngineError) -> Answer:
    """Return what the caller is told."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS)
    status = STATUS[kind]
    text = kind.default if status in SERVER_FAULTS | REFUSALS else error.public
    return Answer(status, text, error.code)
