# SPDX-License-Identifier: Apache-2.0
"""How the client connects: limits, and which calls may be repeated.

Repetition is gRPC's own: exponential backoff with jitter, and only when the server refused the call
before answering anything. A call stands in ``REPEATABLE`` when doing it twice is the same as once.
Creating, erasing and withdrawing say something else the second time, and a stream has a caller on
the line: none of them is repeated.
"""

import json
from collections.abc import Sequence
from typing import Any

REPEATABLE: tuple[tuple[str, str], ...] = (
    ("voiceauth.v1.SubjectService", "GetSubject"),
    ("voiceauth.v1.SubjectService", "ListSubjects"),
    ("voiceauth.v1.SubjectService", "SetSubjectGroups"),
    ("voiceauth.v1.SubjectService", "RecordConsent"),
    ("voiceauth.v1.SubjectService", "OptOut"),
    ("voiceauth.v1.SubjectService", "UndoOptOut"),
    ("voiceauth.v1.StepUpService", "ListFactors"),
    ("voiceauth.v1.StepUpService", "BeginStepUp"),
    ("voiceauth.v1.StepUpService", "GetStepUp"),
    ("voiceauth.v1.LockoutService", "GetLockout"),
    ("voiceauth.v1.InformationService", "GetInformation"),
    ("grpc.health.v1.Health", "Check"),
)
MOST_RETRIES = 4
"""gRPC makes at most five attempts, whatever is asked for."""
_MOST_RECEIVED_BYTES = 4_194_304


def channel_options(retries: int) -> Sequence[tuple[str, Any]]:
    """Return the channel's options.

    Args:
        retries: how often a repeatable call is tried again, 0 to 4.
    """
    config: dict[str, Any] = {}
    if retries > 0:
        config["methodConfig"] = [
            {
                "name": [{"service": service, "method": method} for service, method in REPEATABLE],
                "retryPolicy": {
                    "maxAttempts": min(retries, MOST_RETRIES) + 1,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return (
        ("grpc.service_config", json.dumps(config)),
        ("grpc.enable_retries", 1 if retries > 0 else 0),
        ("grpc.max_receive_message_length", _MOST_RECEIVED_BYTES),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A proxy variable of the environment must not see callers' voices.
        ("grpc.enable_http_proxy", 0),
    )
