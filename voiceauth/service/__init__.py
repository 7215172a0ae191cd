# SPDX-License-Identifier: Apache-2.0
"""The engine on the network: the only server-side room that knows gRPC.

Rules:

* The event loop never waits for the vault or the model: each has threads of its own.
* Every failure has one place in the table of ``errors``; what a caller reads is one safe sentence
  and a stable code, everything else is in the operator's log.
* A failing part of the engine turns a verification into STEP_UP; a record that cannot be written
  turns it into UNAVAILABLE. Nothing fails open.
"""

from voiceauth.service.server import Listening, running_server, serve

__all__ = ["Listening", "running_server", "serve"]
