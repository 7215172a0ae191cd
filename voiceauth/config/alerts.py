# SPDX-License-Identifier: Apache-2.0
"""Which rules look at the ledger, and who is told."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from voiceauth.config.section import PositiveSeconds, Section

_NEEDED = {"webhook": ("url", "secret_file"), "syslog": ("host",), "file": ("path",)}
_TAKEN = {
    "webhook": {"url", "secret_file", "ca"},
    "syslog": {"host", "port", "transport", "ca"},
    "file": {"path"},
}


class SinkSettings(Section):
    """One receiver of alerts."""

    kind: Literal["webhook", "syslog", "file"] = Field(description="How it is reached.")
    least: Literal["low", "medium", "high", "critical"] = Field(
        "low", description="Severity from which on it is told."
    )
    url: str | None = Field(None, description="Of a webhook: where alerts are posted.")
    secret_file: Path | None = Field(
        None,
        description="Of a webhook: file, mode 0600, whose first line is the secret that signs, "
        "`whsec_` and base64, or at least 24 bytes of anything.",
    )
    host: str | None = Field(None, description="Of syslog: name or address of the collector.")
    port: int = Field(6514, ge=1, le=65535, description="Of syslog: its port.")
    transport: Literal["udp", "tcp", "tls"] = Field(
        "tls", description="Of syslog: RFC 5425 over TLS, or the same in plain text, or UDP."
    )
    path: Path | None = Field(None, description="Of a file: where lines of JSON are appended.")
    ca: Path | None = Field(
        None, description="Authorities of the receiver's certificate, PEM; default the system's."
    )
    timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="Longest wait for the receiver, per attempt."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name for name in _NEEDED[self.kind] if getattr(self, name) is None]
        if missing:
            message = f"a sink of kind {self.kind} needs {' and '.join(missing)}"
            raise ValueError(message)
        common = {"kind", "least", "timeout_seconds"}
        foreign = sorted(self.model_fields_set - common - _TAKEN[self.kind])
        if foreign:
            message = f"a sink of kind {self.kind} has no {foreign[0]}"
            raise ValueError(message)
        return self


class AlertSettings(Section):
    """Rules over the ledger, and who is told what they find. See `docs/alerts.md`."""

    enabled: bool = Field(default=True, description="Evaluate the rules while the server runs.")
    rules: Path | None = Field(
        None, description="A file that changes shipped rules or adds others, TOML."
    )
    every_seconds: PositiveSeconds = Field(5.0, description="Time between two looks at the ledger.")
    runbooks: str = Field(
        "docs/runbooks/",
        description="What stands before a runbook's file name in an alert: your own address of "
        "these pages.",
    )
    ledger_audit_hours: float = Field(
        24.0,
        ge=0,
        le=8784,
        description="Time between two audits of the whole ledger while the server runs; 0 means "
        "none.",
    )
    failed_voice_hours: float = Field(
        24.0,
        ge=0,
        le=168,
        description="How long the voice of a rejected call is remembered, in memory alone, to "
        "notice that it comes again under another name; 0 remembers none.",
    )
    deliver: bool = Field(
        default=True, description="Hand alerts over from this process; they are kept in any case."
    )
    sinks: dict[str, SinkSettings] = Field(
        default_factory=dict, description="Receivers by name; see `[alerts.sinks.NAME]`."
    )
