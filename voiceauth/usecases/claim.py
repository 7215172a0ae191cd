# SPDX-License-Identifier: Apache-2.0
"""What a call that is to be verified says of itself when it begins."""

from dataclasses import dataclass

from voiceauth.types import AudioFormat, CallId, SubjectId, TenantId


@dataclass(frozen=True, slots=True)
class Claim:
    """Who the caller says to be, and how the call sounds on the wire.

    Attributes:
        number: that the call comes from, as ``identifiers.calling_number`` returns it; empty where
            it is withheld. Only its keyed hash is recorded.
    """

    call: CallId
    tenant: TenantId
    subject: SubjectId
    audio_format: AudioFormat
    policy: str = ""
    number: str = ""
