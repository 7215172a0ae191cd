# SPDX-License-Identifier: Apache-2.0
"""The command line: ``voiceauth …``.

Rules:

* A command speaks to the engine as any other client does, over gRPC; without a server to speak to,
  it opens one on loopback for itself (``--data-dir``), so there is one path and no second truth.
* Results go to standard output, the rest to standard error; ``--json`` prints one JSON value.
* An error is one line that says what to do. Exit codes: 0 done, 1 error, 2 wrong usage; commands
  with an answer of their own use 10 and up and say so in their help.
* Identifiers of people appear only because the operator typed them.
"""

import os

# Before numpy is loaded: its OpenBLAS keeps a thread per core spinning after each of our many small
# products, which nearly tripled the processor time of a call. Whoever sets it has the last word.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before gRPC is loaded: its newer way of listening hands each message through several threads; the
# one before it wakes a third as many and takes a fifth less of the processor per message. A name
# that a later gRPC no longer knows is ignored by it.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

from voiceauth.cli.app import app


def main() -> None:
    """Run the command line; the entry point of the installed ``voiceauth``."""
    app()
