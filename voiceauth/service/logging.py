# SPDX-License-Identifier: Apache-2.0
"""The operator's log: structured lines on standard error.

Rules:

* Never audio, embeddings or request payloads: a value of such a type is dropped on the way out.
* Never a raw id: calls stand there as the pseudonym that the ledger has. Whatever else looks like
  somebody's number, or stands in a field that names somebody, is replaced by a keyed hash.
* An unexpected exception is told by its type and the lines it came through, not by its message,
  which may quote what it choked on.
"""

import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from voiceauth.access.masking import HIDDEN, replaced_numbers
from voiceauth.config import LogSettings
from voiceauth.errors import EngineError, InternalError

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_MOST_FRAMES = 8
_PAYLOADS = (bytes, bytearray, memoryview, np.ndarray)
_NAMES_SOMEBODY = frozenset({"subject", "subject_id", "principal", "caller", "phone"})
_OUR_OWN = frozenset({"level", "timestamp", "peer", "address", "rpc", "trace", "call", "by"})
"""Made by the engine: addresses of machines, pseudonyms, names of RPCs, places in the code."""


def configure_logging(settings: LogSettings, stand_in: Callable[[str], str] | None = None) -> None:
    """Set up the log of a server process; other uses of the service leave structlog as it is.

    Args:
        settings: level and form.
        stand_in: returns what stands for an identifier; None hides it altogether.
    """
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            drop_payloads,
            Pseudonymiser(stand_in or _hidden),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def drop_payloads(
    logger: Any, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replace values that may hold audio, embeddings or key material: the last line of defence."""
    del logger, method
    for key, value in event.items():
        if isinstance(value, _PAYLOADS):
            event[key] = "<dropped>"
    return event


def _hidden(_: str) -> str:
    return HIDDEN


class Pseudonymiser:
    """A structlog processor: identifiers of people become keyed hashes, wherever they stand.

    Args:
        stand_in: returns what stands for an identifier.
    """

    def __init__(self, stand_in: Callable[[str], str]) -> None:
        self._stand_in = stand_in

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Replace them in every field but those that the engine makes itself."""
        del logger, method
        for key, value in event.items():
            if key in _NAMES_SOMEBODY:
                event[key] = self._stand_in(str(value))
            elif key not in _OUR_OWN:
                event[key] = self._clean(value)
        return event

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return replaced_numbers(value, self._stand_in)
        if isinstance(value, dict):
            return {self._clean(key): self._clean(one) for key, one in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(one) for one in value]
        return value


def failure(error: EngineError) -> dict[str, Any]:
    """Return the fields that describe an error in the log."""
    fields: dict[str, Any] = {"error": error.code, "sentence": error.public}
    if error.detail is not None:
        fields["detail"] = error.detail
    if isinstance(error, InternalError):
        fields["trace"] = _frames(error.__cause__ or error)
    return fields


def _frames(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    lines = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames]
    return [*lines, type(error).__name__]
