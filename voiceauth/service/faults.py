# SPDX-License-Identifier: Apache-2.0
"""The border at which any exception becomes one of the engine's errors.

This is the one place that catches ``Exception``: a bug or a library's own exception must reach the
rule for engine faults (STEP_UP, INTERNAL), never the caller and never the end of the process.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from voiceauth.errors import EngineError, InternalError, TooShortError


@contextmanager
def engine_errors_only(place: str) -> Iterator[None]:
    """Let engine errors pass and turn everything else into InternalError.

    Args:
        place: what was being done, for the log.

    Raises:
        InternalError: the block raised something that is not an EngineError; it is the cause.
    """
    try:
        yield
    except EngineError:
        raise
    except Exception as error:
        raise InternalError(detail=f"{type(error).__name__} in {place}") from error


@contextmanager
def model_faults(name: str) -> Iterator[None]:
    """Make every failure of a model a fault of the engine, whatever class it came as.

    Args:
        name: of the model, for the log.

    Raises:
        TooShortError: it said so; this alone is believed.
        InternalError: anything else of the engine's own errors.
    """
    try:
        yield
    except (TooShortError, InternalError):
        raise
    except EngineError as error:
        raise InternalError(detail=f"{name} raised {error.code}") from error
