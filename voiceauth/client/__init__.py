# SPDX-License-Identifier: Apache-2.0
"""The Python client of a voiceauth server: light, with no model and no vault in it.

Rules:

* Failed calls raise classes of ``voiceauth.errors``, chosen by the server's stable error code;
  trouble on the way is a ``DependencyError``; ``ClientError`` is a breach of the contract itself.
* Unary calls are repeated only where a repetition cannot do harm; streams never are.
* A decision that this version does not know is STEP_UP.

Example (asyncio)::

    async with Client("127.0.0.1:50051") as client:
        call = VerifyOptions("call-1", "bank", "4711", AudioFormat(Encoding.MULAW))
        async with client.verify(call) as stream:
            verdict = await stream.run(chunks)
    if verdict.decision is Decision.ACCEPT:
        ...

``SyncClient`` has the same names without ``await``.
"""

from voiceauth.client.client import Client
from voiceauth.client.credentials import ClientFiles, credentials_from, with_token
from voiceauth.client.errors import ClientError
from voiceauth.client.maintenance import Maintenance, SyncMaintenance
from voiceauth.client.streams import EnrolStream, IdentifyStream, VerifyStream, WatchStream
from voiceauth.client.sync import SyncClient, SyncStream
from voiceauth.client.types import (
    EnrolOptions,
    IdentifyOptions,
    Information,
    PolicyInformation,
    Rekeying,
    VerifyOptions,
)

__all__ = [
    "Client",
    "ClientError",
    "ClientFiles",
    "EnrolOptions",
    "EnrolStream",
    "IdentifyOptions",
    "IdentifyStream",
    "Information",
    "Maintenance",
    "PolicyInformation",
    "Rekeying",
    "SyncClient",
    "SyncMaintenance",
    "SyncStream",
    "VerifyOptions",
    "VerifyStream",
    "WatchStream",
    "credentials_from",
    "with_token",
]
