# SPDX-License-Identifier: Apache-2.0
import json
from typing import TYPE_CHECKING

import pytest

from voiceauth.types import SubjectId, TenantId
from voiceauth.usecases.acting import acting_as, log_pseudonym, nobody, record_denial
from voiceauth.usecases.identifiers import subject_id
from voiceauth.usecases.manage_subjects import create_subject

if TYPE_CHECKING:
    from served import Parts


def test_nobody_is_the_same_for_the_same_request_and_no_other(parts: "Parts") -> None:
    """A challenge and the call that answers it meet, and no two requests are taken for one."""
    engine = parts.engine
    first = nobody(engine, "shop", "alice")

    assert nobody(engine, "shop", "alice") == first == subject_id(first)
    others = {nobody(engine, *one) for one in (("shop", "bob"), ("sho", "palice"), ("x", "alice"))}
    assert len(others | {first}) == 4


def test_entries_say_who_acts_and_only_for_the_time_of_the_block(parts: "Parts") -> None:
    """What happens outside a request is the engine's own doing."""
    with acting_as("jo"):
        create_subject(parts.engine, TenantId("bank"), SubjectId("a"), frozenset())
    create_subject(parts.engine, TenantId("bank"), SubjectId("b"), frozenset())

    told = [json.loads(one.body).get("by") for one in parts.vault.ledger()]
    assert told == ["jo", None]


@pytest.mark.parametrize(
    ("tenant", "subject", "fields"),
    [
        ("", "", set()),
        ("shop", "", {"tenant"}),
        ("shop", "alice", {"tenant", "subject"}),
        ("a b", "alice", {"malformed"}),
    ],
)
def test_a_refusal_names_nobody(
    parts: "Parts", tenant: str, subject: str, fields: set[str]
) -> None:
    """Tenant and person stand in the entry as pseudonyms, and what is malformed not at all."""
    record_denial(
        parts.engine, rpc="Verify", reason="r", tenant=tenant, subject=subject, withheld=3
    )

    entry = parts.last("access.denied")
    body = json.loads(entry.body)
    assert set(body) == {"rpc", "reason", "withheld"} | fields
    assert entry.tenant == ""
    assert not [one for one in ("shop", "alice", "a b") if one in entry.body]


def test_the_logs_stand_in_is_the_same_for_the_same_text(parts: "Parts") -> None:
    """Lines about one number can be put together, and the number cannot be read."""
    assert log_pseudonym(parts.engine, "4711") == log_pseudonym(parts.engine, "4711")
    assert log_pseudonym(parts.engine, "4711") != log_pseudonym(parts.engine, "4712")
    assert "4711" not in log_pseudonym(parts.engine, "4711")
