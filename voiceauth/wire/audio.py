# SPDX-License-Identifier: Apache-2.0
"""Audio formats on the wire."""

from voiceauth.errors import UnsupportedFormatError
from voiceauth.types import AudioFormat
from voiceauth.v1 import audio_pb2
from voiceauth.wire.enums import encoding_from_wire, encoding_to_wire

_DEFAULT_RATE_HZ = 8000
_DEFAULT_CHANNELS = 1


def format_to_wire(audio_format: AudioFormat) -> audio_pb2.AudioFormat:
    """Build the message of a format.

    Raises:
        UnsupportedFormatError: a number that the contract cannot carry.
    """
    try:
        return audio_pb2.AudioFormat(
            encoding=encoding_to_wire(audio_format.encoding),
            sample_rate_hz=audio_format.rate_hz,
            channels=audio_format.channels,
            caller_channel=audio_format.channel,
        )
    except (TypeError, ValueError) as error:
        raise UnsupportedFormatError(detail=str(error)) from error


def format_from_wire(message: audio_pb2.AudioFormat) -> AudioFormat:
    """Read a format; 0 means 8000 Hz and one channel.

    Whether the numbers are possible is the signal room's to say.

    Raises:
        UnsupportedFormatError: the encoding is missing or not known.
    """
    return AudioFormat(
        encoding=encoding_from_wire(message.encoding),
        rate_hz=message.sample_rate_hz or _DEFAULT_RATE_HZ,
        channels=message.channels or _DEFAULT_CHANNELS,
        channel=message.caller_channel,
    )
