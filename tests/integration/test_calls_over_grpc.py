# SPDX-License-Identifier: Apache-2.0
from served import Served, pieces, speech

from voiceauth.types import Decision


async def test_the_enrolled_speaker_is_accepted(service: Served) -> None:
    """The voice of the claimed, enrolled subject leads to ACCEPT with a record."""
    await service.enrolled("alice")

    async with service.client.verify(service.claim()) as stream:
        verdict = await stream.run(pieces(speech(8.0)))

    assert verdict.decision is Decision.ACCEPT
    assert verdict.record_id is not None
