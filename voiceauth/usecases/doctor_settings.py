# SPDX-License-Identifier: Apache-2.0
"""Settings that are allowed and known to be weak. Pure: it looks at nothing but the settings."""

from collections.abc import Iterator

from voiceauth.config import Settings
from voiceauth.types import Finding, Level

CHECK = "settings"
_MOST_FALSE_MATCHES = 0.01
"""The shipped one; NIST SP 800-63B asks for less of a biometric comparison."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WEEK_DAYS = 7


def weak_settings(settings: Settings) -> Iterator[Finding]:
    """Return what is weak, in the order of the settings; one good finding if nothing is."""
    found = [
        Finding(CHECK, Level.WARNING, text, advice)
        for text, advice in (
            *_policies(settings),
            *_transport(settings),
            *_access(settings),
            *_keys(settings),
            *_recovery(settings),
        )
    ]
    yield from found or [Finding(CHECK, Level.GOOD, "No setting is known to be weak.")]


def _policies(settings: Settings) -> Iterator[tuple[str, str]]:
    name = settings.default_policy
    one = settings.policies[name]
    if one.accept_on_voice_alone:
        yield (
            f"The default policy {name} accepts on a voice alone.",
            "Set accept_on_voice_alone = false and ask for another factor.",
        )
    if one.target_false_match_rate > _MOST_FALSE_MATCHES:
        impostors = f"{1 / one.target_false_match_rate:.0f}"
        yield (
            f"The default policy {name} accepts one impostor in {impostors}.",
            f"Set target_false_match_rate to {_MOST_FALSE_MATCHES} or less.",
        )
    if not settings.liveness.replay:
        yield "Recordings of earlier calls are not looked for.", "Set liveness.replay = true."


def _transport(settings: Settings) -> Iterator[tuple[str, str]]:
    server, tls = settings.server, settings.tls
    if server.host not in _LOOPBACK and tls.certificate is None:
        yield (
            f"The server listens on {server.host} in plain text.",
            "Set up [tls], unless a proxy in front of it has TLS and nothing else reaches it.",
        )
    if tls.allow_tls_1_2:
        yield "TLS 1.2 is allowed.", "Set tls.allow_tls_1_2 = false once no client needs it."
    if server.reflection:
        yield "gRPC reflection is on.", "Set server.reflection = false outside development."
    if settings.log.level == "debug":
        yield "The log is at debug.", "Set log.level = 'info' outside development."


def _access(settings: Settings) -> Iterator[tuple[str, str]]:
    access, tokens = settings.access, settings.tokens
    if access.anonymous_roles:
        yield (
            f"Whoever reaches the port is {', '.join(access.anonymous_roles)}.",
            "Set up [tls] with client_ca, or [tokens], and leave access.anonymous_roles empty.",
        )
    if tokens.issuer is not None and not (access.staff_amr or access.staff_acr):
        yield (
            "People sign in without evidence of a second factor.",
            "Set access.staff_amr or access.staff_acr.",
        )


def _keys(settings: Settings) -> Iterator[tuple[str, str]]:
    keys = settings.keyring
    if keys.service == "file" and keys.passphrase_file is None:
        yield (
            "The vault's key file is not sealed under a passphrase.",
            "Set keyring.passphrase_file, or keep the keys on a token.",
        )
    if keys.service == "file" and settings.storage.keys.parent == settings.storage.data_dir:
        yield (
            "The vault's keys lie beside the vault.",
            "Put storage.key_file on another volume: whoever copies both can read everything.",
        )
    if not keys.rotate_days:
        yield "Keys are never replaced by themselves.", "Set keyring.rotate_days, for example 30."
    if not keys.backup_days:
        yield (
            "Replaced keys are never destroyed by themselves.",
            "Set keyring.backup_days: it completes erasures in old backups.",
        )


def _recovery(settings: Settings) -> Iterator[tuple[str, str]]:
    backup = settings.backup
    if settings.ledger.export_dir is None:
        yield (
            "The ledger has no second place.",
            "Set ledger.export_dir to a directory on another system.",
        )
    if backup.directory is None:
        yield "No backups are made.", "Set backup.directory to another disk or machine."
        return
    kept_days = max(backup.keep_daily, _WEEK_DAYS * backup.keep_weekly)
    if 0 < settings.keyring.backup_days < kept_days:
        yield (
            f"Backups live for {kept_days} days, their keys for {settings.keyring.backup_days}.",
            "Raise keyring.backup_days, or keep fewer backups: without its keys one is unreadable.",
        )
