# SPDX-License-Identifier: Apache-2.0
"""However looks, crashes and restarts fall among the entries, the alerts are those of one look."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from noted import NotingSink, one_rule, somebody

from voiceauth.alerts.table import rules
from voiceauth.errors import StorageError
from voiceauth.ports import AlertTransaction
from voiceauth.testing.fakes import FakeClock, FakeKeyService, FakeRandom
from voiceauth.types import TenantId
from voiceauth.usecases.raise_alerts import AlertDesk, LedgerWatch, Outlet
from voiceauth.usecases.troubles import TroubleBook
from voiceauth.vault.open import open_vault
from voiceauth.vault.store import SqliteVault

BANK = TenantId("bank")


class Crashing:
    """A vault whose next commit fails when told to."""

    def __init__(self, vault: SqliteVault) -> None:
        self.vault = vault
        self.crash = False
        self.ledger, self.ledger_head, self.read = vault.ledger, vault.ledger_head, vault.read

    @contextmanager
    def begin(self) -> Iterator[AlertTransaction]:
        """Fail at the end, as a crash before the commit does."""
        with self.vault.begin() as transaction:
            yield transaction
            if self.crash:
                raise StorageError


STEPS = st.lists(
    st.one_of(st.sampled_from(["look", "restart", "crash"]), st.integers(min_value=0, max_value=2)),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_no_entry_is_missed_and_none_counts_twice(steps: list[str | int]) -> None:
    """Each of three people is told of when the third call was rejected, with those entries."""
    with tempfile.TemporaryDirectory() as directory:
        clock, keys = FakeClock(), FakeKeyService()
        vault = open_vault(Path(directory) / "v.db", keys, clock=clock, random=FakeRandom())
        crashing = Crashing(vault)
        table = {
            **one_rule("failures-subject", threshold=3),
            "clock-jumped": rules()["clock-jumped"],
        }
        desk = AlertDesk(
            crashing,  # type: ignore[arg-type]  # as much of a vault as is needed
            clock,
            keys.derive,
            table,
            TroubleBook(),
            {"sink": Outlet(NotingSink())},
        )
        watch = LedgerWatch(desk)
        watch.begin()
        due: dict[str, list[int]] = {}
        for step in [*steps, "look"]:
            if isinstance(step, int):
                body = {"decision": "reject", "subject": somebody(str(step))}
                clock.advance(1)
                with vault.begin() as change:
                    entry = change.append(
                        at=clock.now(), tenant=BANK, event="verify.verdict", body=body
                    )
                due.setdefault(somebody(str(step)), []).append(entry.sequence)
            elif step == "restart":
                watch = LedgerWatch(desk)
            else:
                crashing.crash = step == "crash"
                with suppress(StorageError):
                    watch.run()
                crashing.crash = False
        watch.run()
        with vault.read() as view:
            found = {one.pseudonym: list(one.records) for one in view.alerts(BANK)}
        raised = [one for one in vault.ledger(limit=1000) if one.event == "alert.raised"]
        vault.close()

        assert found == {who: seen[:3] for who, seen in due.items() if len(seen) >= 3}
        assert len(raised) == len({json.loads(one.body)["id"] for one in raised}) == len(found)
