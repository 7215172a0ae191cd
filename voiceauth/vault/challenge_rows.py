# SPDX-License-Identifier: Apache-2.0
"""The part of a transaction that keeps the challenges of running calls, where processes share them.

One sealed row per call, for an hour; the words of a challenge are nobody's to read. Times are those
of the machine's monotonic clock, so rows mean nothing after a restart and are cleared then.
"""

from collections.abc import Sequence
from typing import Any

from voiceauth.types import CallId, TenantId
from voiceauth.units import Seconds
from voiceauth.vault.sealing import Sealer

_KIND = "challenge"
_MS = 1000.0


class ChallengeRows:
    """Challenges over one connection; ``SqliteTransaction`` completes it."""

    _sealer: Sealer

    def challenge_page(self, tenant: TenantId, call: CallId) -> bytes | None:
        """Read a call's page, None without one. Raises TagMismatchError if it was changed."""
        row_key = self._sealer.kept_key(tenant, _KIND, call)
        found = self._select("SELECT sealed FROM challenges WHERE row_key = ?", row_key)
        return self._sealer.open_kept(row_key, found[0][0], _KIND) if found else None

    def put_challenge_page(
        self,
        tenant: TenantId,
        call: CallId,
        page: bytes,
        *,
        due: Seconds | None,
        last: Seconds,
    ) -> None:
        """Replace a call's page.

        Args:
            tenant: of the call.
            call: its id.
            page: what is known.
            due: when an open challenge of it expires; None without one.
            last: when it was last used.
        """
        row_key = self._sealer.kept_key(tenant, _KIND, call)
        self._write(
            "INSERT INTO challenges (row_key, due_ms, last_ms, sealed) VALUES (?,?,?,?) "
            "ON CONFLICT (row_key) DO UPDATE SET due_ms = excluded.due_ms, "
            "last_ms = excluded.last_ms, sealed = excluded.sealed",
            row_key,
            None if due is None else int(due * _MS),
            int(last * _MS),
            self._sealer.seal_kept(row_key, page, _KIND),
        )

    def due_challenge_pages(self, now: Seconds) -> Sequence[bytes]:
        """Read the pages with a challenge whose time is over."""
        rows = self._select(
            "SELECT row_key, sealed FROM challenges WHERE due_ms <= ?", int(now * _MS)
        )
        return [self._sealer.open_kept(row_key, sealed, _KIND) for row_key, sealed in rows]

    def challenge_pages(self) -> int:
        """Return how many calls have a page."""
        return int(self._select("SELECT count(*) FROM challenges")[0][0])

    def forget_challenge_pages(self, before: Seconds | None = None) -> int:
        """Delete the pages that were last used before a time, or all; return how many."""
        if before is None:
            return self._write("DELETE FROM challenges")
        return self._write("DELETE FROM challenges WHERE last_ms < ?", int(before * _MS))

    def _select(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def _write(self, statement: str, *values: Any) -> int:
        raise NotImplementedError
