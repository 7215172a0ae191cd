# SPDX-License-Identifier: Apache-2.0
"""Where the server listens, whom it believes, and how a client reaches it."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from voiceauth.config.section import PositiveSeconds, Section


class ServerSettings(Section):
    """Where the server listens, and its limits."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    allow_plaintext_beyond_loopback: bool = Field(
        default=False,
        description="Listen on other than loopback addresses without `[tls]`. Set it only behind a "
        "proxy that terminates mutual TLS.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that serve on the same port, one per core at most. The kernel gives "
        "each new connection to one of them: a gateway opens several.",
    )
    max_concurrent_calls: int = Field(
        200,
        ge=1,
        description="Streams at once in each worker; further ones get RESOURCE_EXHAUSTED.",
    )
    max_concurrent_requests: int = Field(
        400, ge=1, description="RPCs of any kind at once in each worker, streams included."
    )
    shed_lag_milliseconds: float = Field(
        50.0,
        gt=0,
        description="From 16 calls of a worker on, new ones get RESOURCE_EXHAUSTED while work "
        "waits longer than this for the processor, on the mean of a second: running calls would be "
        "late.",
    )
    max_message_bytes: int = Field(
        65_536, ge=1024, le=4_194_304, description="Largest message, and so largest audio chunk."
    )
    max_stream_seconds: PositiveSeconds = Field(
        600.0, description="Longest stream, in seconds of wall clock and of audio."
    )
    idle_seconds: PositiveSeconds = Field(
        15.0, description="Longest silence on the wire in a stream."
    )
    request_seconds: PositiveSeconds = Field(
        5.0, description="Deadline that unary calls are clamped to."
    )
    drain_seconds: PositiveSeconds = Field(
        30.0, description="How long running calls may go on after SIGTERM."
    )
    inference_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads of each worker that run the model; 0 shares the cores among workers.",
    )
    inference_queue: int = Field(
        256, ge=1, description="Spans that may wait for the model before calls are slowed."
    )
    reflection: bool = Field(default=False, description="Serve gRPC reflection; not in production.")


class TlsSettings(Section):
    """Encrypted transport. Changed files are taken over without a restart."""

    certificate: Path | None = Field(
        None, description="The server's certificate with those below its authority, PEM."
    )
    key: Path | None = Field(None, description="Its private key, PEM, without a passphrase.")
    client_ca: Path | None = Field(
        None,
        description="Authorities of clients' certificates, PEM. Then every connection needs one; "
        "without, no certificate is asked for and clients show tokens.",
    )
    client_crl: Path | None = Field(
        None,
        description="Certificate revocation lists of these authorities, PEM or DER. Then a client "
        "whose authority has no list in it is refused.",
    )
    stale_crl: Literal["refuse", "alarm"] = Field(
        "refuse",
        description="What a list whose time is over does: refuse every certificate of its "
        "authority, or go on refusing those it names and say so in the log.",
    )
    allow_tls_1_2: bool = Field(
        default=False, description="Serve connections that are older than TLS 1.3, too."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "TlsSettings":
        if (self.certificate is None) != (self.key is None):
            message = "certificate and key belong together"
            raise ValueError(message)
        if self.client_ca is not None and self.certificate is None:
            message = "client_ca needs a certificate of the server"
            raise ValueError(message)
        if self.client_crl is not None and self.client_ca is None:
            message = "client_crl needs client_ca"
            raise ValueError(message)
        return self


class ClientSettings(Section):
    """How the command line shows who it is. Secrets stay in files of their own."""

    ca: Path | None = Field(None, description="Authority of the server's certificate, PEM.")
    certificate: Path | None = Field(None, description="Client certificate, PEM.")
    key: Path | None = Field(None, description="Its private key, PEM.")
    token_file: Path | None = Field(
        None, description="File with a bearer token; sent only over TLS."
    )


class LogSettings(Section):
    """The operator's log. It never holds audio, embeddings or raw subject ids."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")
    format: Literal["json", "console"] = Field("json", description="One JSON object per line.")
