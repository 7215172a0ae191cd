# SPDX-License-Identifier: Apache-2.0
"""All sections together."""

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from voiceauth.config.access import AccessSettings, ApprovalSettings, TokenSettings
from voiceauth.config.alerts import AlertSettings
from voiceauth.config.backup import BackupSettings
from voiceauth.config.calls import (
    ChallengeSettings,
    EnrolmentSettings,
    LivenessSettings,
    ModelSettings,
    PolicySettings,
    SpeechSettings,
    voice_and_factor,
)
from voiceauth.config.lockout import LockoutSettings
from voiceauth.config.record import KeySettings, LedgerSettings, StorageSettings
from voiceauth.config.retention import RetentionSettings
from voiceauth.config.server import ClientSettings, LogSettings, ServerSettings, TlsSettings
from voiceauth.config.step_up import StepUpSettings


def _policies() -> dict[str, PolicySettings]:
    return {
        "standard": PolicySettings(),
        "strict": PolicySettings(
            target_false_match_rate=0.001, full_seconds=30.0, routes=voice_and_factor(0.001)
        ),
        "voice-alone": PolicySettings(
            target_false_match_rate=0.0001, full_seconds=30.0, accept_on_voice_alone=True
        ),
        "evidence": PolicySettings(routes=()),
    }


class Settings(BaseSettings):
    """All settings of one installation."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="VOICEAUTH_", env_nested_delimiter="__"
    )

    server: ServerSettings = Field(default_factory=ServerSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    access: AccessSettings = Field(default_factory=AccessSettings)
    tokens: TokenSettings = Field(default_factory=TokenSettings)
    approvals: ApprovalSettings = Field(default_factory=ApprovalSettings)
    client: ClientSettings = Field(default_factory=ClientSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    keyring: KeySettings = Field(default_factory=KeySettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    backup: BackupSettings = Field(default_factory=BackupSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    speech: SpeechSettings = Field(default_factory=SpeechSettings)
    enrolment: EnrolmentSettings = Field(default_factory=EnrolmentSettings)
    challenge: ChallengeSettings = Field(default_factory=ChallengeSettings)
    liveness: LivenessSettings = Field(default_factory=LivenessSettings)
    step_up: StepUpSettings = Field(default_factory=StepUpSettings)
    lockout: LockoutSettings = Field(default_factory=LockoutSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    policies: dict[str, PolicySettings] = Field(
        default_factory=_policies,
        description="Named policies; those of a file are added to the built-in ones.",
    )
    default_policy: str = Field("standard", description="Policy that an empty name means.")

    @field_validator("policies")
    @classmethod
    def _keep_built_in(cls, given: dict[str, PolicySettings]) -> dict[str, PolicySettings]:
        return {**_policies(), **given}

    @model_validator(mode="after")
    def _default_policy_exists(self) -> "Settings":
        if self.default_policy not in self.policies:
            message = f"default_policy {self.default_policy!r} is not among policies"
            raise ValueError(message)
        return self
