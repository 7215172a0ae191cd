# SPDX-License-Identifier: Apache-2.0
"""The part of a transaction that keeps counters of attempts, and voices of failed ones.

These rows exist for claims on people whom nobody knows, too, so they are sealed under keys of the
installation: one for each row, derived from a secret and the row's own key.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from voiceauth.types import Attempts, Counter, FailedVoice, SubjectId, TenantId
from voiceauth.vault.attempt_codec import (
    decode_attempts,
    decode_failed_voice,
    encode_attempts,
    encode_failed_voice,
)
from voiceauth.vault.codec import to_microseconds
from voiceauth.vault.sealing import Sealer, require_text

_VOICE_KIND = "failed-voice"


class AttemptRows:
    """``ports.AttemptStore`` over one connection; ``SqliteTransaction`` completes it."""

    _sealer: Sealer

    def attempts(self, tenant: TenantId, counter: Counter, name: str) -> Attempts:
        """Read counters; all zero where nothing was counted.

        Raises:
            TagMismatchError: the row was changed or moved.
        """
        row_key = self._sealer.kept_key(tenant, counter, name)
        found = self._select("SELECT sealed FROM attempts WHERE row_key = ?", row_key)
        if not found:
            return Attempts()
        return decode_attempts(self._sealer.open_kept(row_key, found[0][0], counter))

    def put_attempts(
        self,
        tenant: TenantId,
        counter: Counter,
        name: str,
        attempts: Attempts,
        *,
        at: datetime,
        subject: SubjectId | None = None,
    ) -> None:
        """Replace counters; those about a subject go when the subject is erased."""
        row_key = self._sealer.kept_key(tenant, counter, name)
        self._write(
            "INSERT INTO attempts (row_key, subject_key, counter, changed_us, sealed) "
            "VALUES (?,?,?,?,?) ON CONFLICT (row_key) DO UPDATE SET "
            "changed_us = excluded.changed_us, sealed = excluded.sealed",
            row_key,
            None if subject is None else self._sealer.row_key(tenant, subject),
            counter.value,
            to_microseconds(at),
            self._sealer.seal_kept(row_key, encode_attempts(attempts), counter),
        )

    def forget_attempts(self, counter: Counter, *, before: datetime) -> int:
        """Delete counters of a kind that were not changed since; return how many."""
        return self._write(
            "DELETE FROM attempts WHERE counter = ? AND changed_us < ?",
            counter.value,
            to_microseconds(before),
        )

    def failed_voices(self, tenant: TenantId, *, since: datetime) -> Sequence[FailedVoice]:
        """Read the voices of failed attempts, oldest first.

        Raises:
            TagMismatchError: a row was changed or moved.
        """
        require_text(tenant)
        rows = self._select(
            "SELECT row_key, sealed FROM failed_voices WHERE tenant = ? AND heard_us >= ? "
            "ORDER BY id",
            tenant,
            to_microseconds(since),
        )
        kind = f"{_VOICE_KIND}:{tenant}"
        opened = (self._sealer.open_kept(key, sealed, kind) for key, sealed in rows)
        return tuple(decode_failed_voice(payload) for payload in opened)

    def add_failed_voice(self, tenant: TenantId, voice: FailedVoice, *, keep: int) -> None:
        """Store a voice, and delete the oldest of the tenant beyond ``keep``."""
        require_text(tenant)
        row_key = self._sealer.fresh_key()
        sealed = self._sealer.seal_kept(
            row_key, encode_failed_voice(voice), f"{_VOICE_KIND}:{tenant}"
        )
        self._write(
            "INSERT INTO failed_voices (row_key, tenant, heard_us, sealed) VALUES (?,?,?,?)",
            row_key,
            tenant,
            to_microseconds(voice.heard_at),
            sealed,
        )
        self.shredded |= self._delete_beyond(tenant, keep) > 0

    def forget_failed_voices(self, *, before: datetime) -> int:
        """Delete voices that were heard before; return how many."""
        gone = self._write("DELETE FROM failed_voices WHERE heard_us < ?", to_microseconds(before))
        self.shredded |= gone > 0
        return gone

    def _delete_beyond(self, tenant: TenantId, keep: int) -> int:
        return self._write(
            "DELETE FROM failed_voices WHERE tenant = ?1 AND id NOT IN (SELECT id FROM "
            "failed_voices WHERE tenant = ?1 ORDER BY id DESC LIMIT ?2)",
            tenant,
            keep,
        )

    shredded: bool

    def _select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _write(self, statement: str, *values: Any) -> int:
        raise NotImplementedError
