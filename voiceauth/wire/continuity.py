# SPDX-License-Identifier: Apache-2.0
"""What a watched call says after its verdict, on the wire."""

from voiceauth.types import Continuity
from voiceauth.v1 import verification_pb2
from voiceauth.wire.enums import (
    liveness_state_from_wire,
    liveness_state_to_wire,
    reasons_from_wire,
    reasons_to_wire,
)


def continuity_to_wire(continuity: Continuity) -> verification_pb2.Continuity:
    """Build the message."""
    return verification_pb2.Continuity(
        state=liveness_state_to_wire(continuity.state),
        heard_seconds=continuity.heard_seconds,
        net_speech_seconds=continuity.net_speech_seconds,
        llr=continuity.llr,
        changed_at_seconds=continuity.changed_at_seconds,
        reasons=reasons_to_wire(continuity.reasons),
        final=continuity.final,
        record_id=continuity.record_id or 0,
    )


def continuity_from_wire(message: verification_pb2.Continuity) -> Continuity:
    """Read the message; a state that this version does not know is NOT_MEASURED, no pass."""
    return Continuity(
        state=liveness_state_from_wire(message.state),
        heard_seconds=message.heard_seconds,
        net_speech_seconds=message.net_speech_seconds,
        llr=message.llr if message.HasField("llr") else None,
        changed_at_seconds=message.changed_at_seconds
        if message.HasField("changed_at_seconds")
        else None,
        reasons=reasons_from_wire(message.reasons),
        final=message.final,
        record_id=message.record_id or None,
    )
