# SPDX-License-Identifier: Apache-2.0
"""The settings: one TOML file and environment overrides, typed and checked at start.

Rules:

* Every setting has a default, so that ``voiceauth serve`` works with no file at all.
* An unknown key, a wrong type or a value out of bounds refuses to start.
* Secrets never stand here, only their locations.
* Nothing is global: the parsed ``Settings`` is passed in.

An environment variable overrides the file: ``VOICEAUTH_SERVER__PORT=50443`` sets ``server.port``.

Example:
    >>> load(None, environment=False).server.port
    50051
"""

from voiceauth.config.access import (
    AccessSettings,
    ApprovalSettings,
    PrincipalSettings,
    TokenSettings,
)
from voiceauth.config.alerts import AlertSettings, SinkSettings
from voiceauth.config.backup import BackupSettings
from voiceauth.config.calls import (
    ChallengeSettings,
    EnrolmentSettings,
    LivenessSettings,
    ModelSettings,
    PolicySettings,
    RouteSettings,
    SpeechSettings,
)
from voiceauth.config.loading import load
from voiceauth.config.lockout import LockoutSettings
from voiceauth.config.record import (
    KeySettings,
    LedgerSettings,
    StorageSettings,
    default_data_directory,
)
from voiceauth.config.retention import RetentionRuleSettings, RetentionSettings
from voiceauth.config.server import ClientSettings, LogSettings, ServerSettings, TlsSettings
from voiceauth.config.settings import Settings
from voiceauth.config.step_up import StepUpSettings

__all__ = [
    "AccessSettings",
    "AlertSettings",
    "ApprovalSettings",
    "BackupSettings",
    "ChallengeSettings",
    "ClientSettings",
    "EnrolmentSettings",
    "KeySettings",
    "LedgerSettings",
    "LivenessSettings",
    "LockoutSettings",
    "LogSettings",
    "ModelSettings",
    "PolicySettings",
    "PrincipalSettings",
    "RetentionRuleSettings",
    "RetentionSettings",
    "RouteSettings",
    "ServerSettings",
    "Settings",
    "SinkSettings",
    "SpeechSettings",
    "StepUpSettings",
    "StorageSettings",
    "TlsSettings",
    "TokenSettings",
    "default_data_directory",
    "load",
]
