# SPDX-License-Identifier: Apache-2.0
"""The contract's messages and the engine's value types, in both directions.

This room knows ``voiceauth.v1`` and ``voiceauth.types`` and nothing else: no gRPC, no use case, so
that the server and the light client share it.

Rules:

* ``*_to_wire`` builds a message from a value; ``*_from_wire`` builds a value from a message.
* What comes from a client is untrusted: a message that means nothing raises an InputError.
* What comes from a newer server is taken as far as it is understood, and an unknown Decision is
  STEP_UP, as the contract demands.
"""
