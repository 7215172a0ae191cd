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

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from voiceauth.access.roles import Role
from voiceauth.errors import SettingsError

_Seconds = Annotated[float, Field(gt=0, le=86_400)]
_Rate = Annotated[float, Field(gt=0, le=0.5)]


def default_data_directory() -> Path:
    """Return the per-user data directory: ``$XDG_DATA_HOME/voiceauth`` or its usual default."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "voiceauth"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(_Section):
    """Where the server listens, and its limits."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(50051, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    allow_plaintext_beyond_loopback: bool = Field(
        default=False,
        description="Listen on other than loopback addresses without `[tls]`. Set it only behind a "
        "proxy that terminates mutual TLS.",
    )
    max_concurrent_calls: int = Field(
        200, ge=1, description="Streams at once; further ones get RESOURCE_EXHAUSTED."
    )
    max_concurrent_requests: int = Field(
        400, ge=1, description="RPCs of any kind at once, streams included."
    )
    max_message_bytes: int = Field(
        65_536, ge=1024, le=4_194_304, description="Largest message, and so largest audio chunk."
    )
    max_stream_seconds: _Seconds = Field(
        600.0, description="Longest stream, in seconds of wall clock and of audio."
    )
    idle_seconds: _Seconds = Field(15.0, description="Longest silence on the wire in a stream.")
    request_seconds: _Seconds = Field(5.0, description="Deadline that unary calls are clamped to.")
    drain_seconds: _Seconds = Field(
        30.0, description="How long running calls may go on after SIGTERM."
    )
    inference_threads: int = Field(
        0, ge=0, le=256, description="Threads that run the model; 0 means one per core."
    )
    inference_queue: int = Field(
        256, ge=1, description="Spans that may wait for the model before calls are slowed."
    )
    reflection: bool = Field(default=False, description="Serve gRPC reflection; not in production.")


class TlsSettings(_Section):
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
        return self


class PrincipalSettings(_Section):
    """A program that is known by its certificate."""

    san: str = Field(
        min_length=1,
        description="Name in its certificate: `URI:…`, `DNS:…` or `email:…`.",
    )
    roles: tuple[Role, ...] = Field(min_length=1, description="What it may do.")
    tenants: tuple[str, ...] = Field(
        min_length=1, description='Whose data it may touch; `["*"]` for every tenant.'
    )


class AccessSettings(_Section):
    """Who may do what. `docs/security.md` has the roles."""

    anonymous_roles: tuple[Role, ...] | None = Field(
        None,
        description="Roles of whoever shows nothing. None: every role on loopback where neither "
        "`[tls]` nor `[tokens]` is set up, and nobody elsewhere.",
    )
    staff_amr: tuple[str, ...] = Field(
        (),
        description="Sign-in methods of which a person's token must name one in `amr`, for example "
        '`["mfa", "hwk"]`. Roles of people count for nothing without.',
    )
    staff_acr: tuple[str, ...] = Field(
        (), description="Or: values of `acr` of which it must have one."
    )
    principals: dict[str, PrincipalSettings] = Field(
        default_factory=dict, description="Programs by name; see `[access.principals.NAME]`."
    )


class TokenSettings(_Section):
    """Bearer tokens of one issuer, for people. Without an issuer none are taken."""

    issuer: str | None = Field(None, description="Exact `iss` of the tokens.")
    audience: str | None = Field(None, description="What `aud` must name: this installation.")
    jwks_file: Path | None = Field(None, description="The issuer's public keys, as a file.")
    jwks_url: str | None = Field(
        None, pattern=r"^https://", description="The issuer's public keys, as an address."
    )
    jwks_ca: Path | None = Field(
        None, description="Authorities to trust for `jwks_url`, PEM; default the system's."
    )
    algorithms: tuple[Literal["ES256", "EdDSA", "RS256"], ...] = Field(
        ("ES256", "EdDSA", "RS256"), min_length=1, description="Signatures that are taken."
    )
    leeway_seconds: float = Field(
        30.0, ge=0, le=120, description="How far the issuer's clock may be off."
    )
    longest_seconds: _Seconds = Field(
        3600.0, description="Longest life of a token, from `iat` to `exp`."
    )
    bound_only: bool = Field(
        default=False,
        description="Take only tokens that are bound to the client's certificate (RFC 8705).",
    )
    tenant_claim: str = Field(
        "tenant", min_length=1, description="Claim with the tenant or the list of tenants."
    )
    roles_claim: str = Field("roles", min_length=1, description="Claim with the list of roles.")
    refresh_seconds: _Seconds = Field(
        300.0, description="Age at which the issuer's keys are fetched again."
    )
    stale_seconds: _Seconds = Field(
        3600.0, description="Age at which keys that cannot be fetched again are no longer used."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "TokenSettings":
        if self.issuer is None:
            return self
        if self.audience is None or (self.jwks_file is None) == (self.jwks_url is None):
            message = "an issuer needs an audience, and either jwks_file or jwks_url"
            raise ValueError(message)
        return self


class ClientSettings(_Section):
    """How the command line shows who it is. Secrets stay in files of their own."""

    ca: Path | None = Field(None, description="Authority of the server's certificate, PEM.")
    certificate: Path | None = Field(None, description="Client certificate, PEM.")
    key: Path | None = Field(None, description="Its private key, PEM.")
    token_file: Path | None = Field(
        None, description="File with a bearer token; sent only over TLS."
    )


class StorageSettings(_Section):
    """Where the record and the keys live."""

    data_dir: Path = Field(
        default_factory=default_data_directory, description="Directory of vault and ledger."
    )
    key_file: Path | None = Field(
        None, description="Key-encryption keys; default `keys.json` in `data_dir`."
    )

    @property
    def keys(self) -> Path:
        """The key file in effect."""
        return self.key_file or self.data_dir / "keys.json"


class KeySettings(_Section):
    """Where the key-encryption keys are, and how long they live. Secrets stand in files."""

    service: Literal["file", "pkcs11"] = Field(
        "file", description="`storage.key_file`, or a PKCS#11 token (extra `hsm`)."
    )
    passphrase_file: Path | None = Field(
        None, description="File, mode 0600, whose first line seals the key file; none leaves it."
    )
    pkcs11_module: Path | None = Field(None, description="The token vendor's PKCS#11 library.")
    token_label: str = Field("voiceauth", description="Label of the token.")
    pin_file: Path | None = Field(
        None, description="File, mode 0600, whose first line is the token's user PIN."
    )
    rotate_days: int = Field(
        0, ge=0, le=3650, description="Replace keys of this age by itself; 0 means never."
    )
    backup_days: int = Field(
        0,
        ge=0,
        le=3650,
        description="How long backups of the vault are kept: a key that was replaced so long ago "
        "is destroyed, and erased people are gone from every older backup. 0 keeps all keys.",
    )


class LedgerSettings(_Section):
    """How the ledger is made tamper-evident beyond this machine."""

    checkpoint_seconds: _Seconds = Field(
        60.0, description="Time between two signed checkpoints, while there are new entries."
    )
    export_dir: Path | None = Field(
        None,
        description="A directory on another system that hashes and checkpoints are appended to; "
        "none means that only the vault has them.",
    )


class ModelSettings(_Section):
    """Which models run."""

    directory: Path | None = Field(
        None, description="Directory with a manifest.json; default the models in the package."
    )
    speaker: str | None = Field(
        None, description="Name of the speaker model in the manifest; default its default."
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the models run.")
    precision: Literal["fp32", "int8"] = Field(
        "fp32",
        description="Form of the speaker model. int8 is faster on processors and takes the same "
        "voiceprints; the model must have one.",
    )


class SpeechSettings(_Section):
    """What counts as speech."""

    span_seconds: _Seconds = Field(3.0, description="Net speech that is embedded at once.")
    least_snr_db: float = Field(
        3.0, ge=-20, le=60, description="Speech below this signal-to-noise ratio is not counted."
    )
    least_level_dbfs: float = Field(
        -55.0, ge=-90, le=0, description="Speech below this level is not counted."
    )
    most_clipped_fraction: float = Field(
        0.05, ge=0, le=1, description="Speech with more samples at the rails is not counted."
    )


class PolicySettings(_Section):
    """One decision policy, in error rates and seconds."""

    target_false_match_rate: _Rate = Field(
        0.01, description="Largest chance of accepting a zero-effort impostor, over the whole call."
    )
    target_false_non_match_rate: _Rate = Field(
        0.02,
        description="Largest chance of rejecting the true speaker outright. Below what the "
        "calibration tables can support nobody is rejected: STEP_UP takes the place.",
    )
    floor_seconds: _Seconds = Field(2.0, description="Net speech below which there is no score.")
    full_seconds: _Seconds = Field(
        15.0, description="Net speech after which an undecided call ends in STEP_UP."
    )
    accept_on_voice_alone: bool = Field(
        default=True, description="False turns a match into STEP_UP with the match as its reason."
    )
    max_spoof_false_accept: _Rate = Field(
        0.05,
        description="Largest chance, over the whole call, of accepting an attack of a kind that a "
        "measured liveness layer was calibrated on.",
    )
    max_live_rejected: _Rate = Field(
        0.005,
        description="Largest chance, over the whole call, of rejecting a living caller outright "
        "because a liveness layer takes the voice for an attack. Below what the layers' "
        "calibration can support nobody is rejected: STEP_UP takes the place.",
    )
    require_liveness: frozenset[Literal["synthetic", "replay", "challenge", "continuity"]] = Field(
        default_factory=frozenset,
        description="Layers without whose word nobody is accepted. A layer that is not listed may "
        "be absent (no model, nothing recorded before); one that runs in a call always has to "
        "speak before an ACCEPT.",
    )


class EnrolmentSettings(_Section):
    """How much and how good speech makes a voiceprint."""

    needed_seconds: _Seconds = Field(20.0, description="Net speech in a voiceprint.")
    max_voiceprints: int = Field(
        5, ge=1, le=50, description="Voiceprints kept per subject; the oldest makes room."
    )
    purpose: str = Field(
        "authentication", min_length=1, description="Consent purpose that permits enrolment."
    )
    coherence_false_non_match_rate: _Rate = Field(
        0.1,
        description="A segment that the speaker of the others would only produce this rarely is "
        "not counted.",
    )
    duplicate_false_match_rate: _Rate = Field(
        0.01,
        description="Another subject's voiceprint is reported as a duplicate when an impostor "
        "would reach its score only this rarely, over the whole search.",
    )
    max_spoof_false_accept: _Rate = Field(
        0.05,
        description="The speech of an enrolment call must exclude synthesis at this rate, where a "
        "spoof model runs; otherwise nothing of it is stored.",
    )
    watchlists: tuple[str, ...] = Field(
        (),
        description="Groups whose voices are not enrolled under another subject; the result says "
        "WATCHLISTED, without a name.",
    )


class ChallengeSettings(_Section):
    """Words that a caller has to say, once."""

    enabled: bool = Field(default=True, description="Serve CreateChallenge.")
    digits: int = Field(6, ge=4, le=10, description="Length of a digit string.")
    phrase_words: int = Field(4, ge=2, le=8, description="Words of a phrase.")
    expires_seconds: _Seconds = Field(
        120.0, description="From making a challenge to the end of its prompt."
    )
    start_within_seconds: _Seconds = Field(
        5.0, description="From the end of the prompt to the answer, in seconds of audio."
    )
    attempts: int = Field(3, ge=1, le=10, description="Challenges per call.")
    voice_false_non_match_rate: _Rate = Field(
        0.02,
        description="An answer that the subject's own voice would score as low as this rarely "
        "fails the challenge.",
    )
    recogniser: Literal["auto", "pocketsphinx", "off"] = Field(
        "auto",
        description="Recogniser of the server: auto takes PocketSphinx (English) where the extra "
        "`challenge` is installed, and otherwise only results that clients send.",
    )
    accept_client_recognition: bool = Field(
        default=True,
        description="Let a client send what its own recogniser heard; marked so in the evidence.",
    )


class LivenessSettings(_Section):
    """Which liveness layers run; what they may decide is a policy's matter."""

    synthetic: Literal["auto", "off"] = Field(
        "auto", description="Look for synthetic speech where the model directory has a spoof model."
    )
    continuity: Literal["auto", "off"] = Field(
        "auto",
        description="Watch that one person speaks throughout, where the speaker model has a "
        "calibration for it.",
    )
    replay: bool = Field(
        default=True,
        description="Remember keyed fingerprints of enrolled and accepted calls, and look for "
        "them in every call.",
    )
    replay_retention_days: float = Field(
        180.0,
        gt=0,
        le=3650,
        description="After that a call is forgotten, and its replay not found.",
    )
    replay_recordings: int = Field(
        12, ge=1, le=100, description="Calls remembered per subject; the oldest makes room."
    )
    replay_recording_seconds: float = Field(
        30.0, ge=5, le=120, description="Remembered of one call, from its first speech."
    )


class LogSettings(_Section):
    """The operator's log. It never holds audio, embeddings or raw subject ids."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")
    format: Literal["json", "console"] = Field("json", description="One JSON object per line.")


def _policies() -> dict[str, PolicySettings]:
    return {
        "standard": PolicySettings(),
        "strict": PolicySettings(target_false_match_rate=0.001, full_seconds=30.0),
        "evidence": PolicySettings(accept_on_voice_alone=False),
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
    client: ClientSettings = Field(default_factory=ClientSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    keyring: KeySettings = Field(default_factory=KeySettings)
    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    speech: SpeechSettings = Field(default_factory=SpeechSettings)
    enrolment: EnrolmentSettings = Field(default_factory=EnrolmentSettings)
    challenge: ChallengeSettings = Field(default_factory=ChallengeSettings)
    liveness: LivenessSettings = Field(default_factory=LivenessSettings)
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


def load(path: Path | None, *, environment: bool = True) -> Settings:
    """Read the settings.

    Args:
        path: a TOML file, or None for the defaults.
        environment: whether ``VOICEAUTH_*`` variables override the file.

    Returns:
        Checked, frozen settings.

    Raises:
        SettingsError: the file is missing, is not TOML, has an unknown key or a bad value; the
            message names the key.
    """
    if path is not None and not path.is_file():
        raise SettingsError(f"There is no settings file {path}.")

    class _Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del dotenv_settings, file_secret_settings
            sources: list[PydanticBaseSettingsSource] = [init_settings]
            if environment:
                _refuse_unknown_variables()
                sources.append(env_settings)
            if path is not None:
                sources.append(TomlConfigSettingsSource(settings_cls, toml_file=path))
            return tuple(sources)

    try:
        return Settings.model_construct(**dict(_Loaded()))
    except ValidationError as error:
        raise SettingsError(f"Settings: {_first_problem(error)}.") from error
    except ValueError as error:  # TOML syntax, malformed JSON in a variable
        raise SettingsError(f"Settings cannot be read: {error}.") from error


def _refuse_unknown_variables() -> None:
    known = {f"VOICEAUTH_{name}".upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.startswith("VOICEAUTH_") and variable.split("__")[0].upper() not in known:
            raise SettingsError(f"Settings: unknown environment variable {variable}.")


def _first_problem(error: ValidationError) -> str:
    problem: dict[str, Any] = dict(error.errors()[0])
    place = ".".join(str(part) for part in problem["loc"]) or "settings"
    return f"{place}: {problem['msg']}"
