# SPDX-License-Identifier: Apache-2.0
"""Words that stand in ledgers, logs and alert rules: whoever searches for them must find them."""

from enum import StrEnum

import pytest

from voiceauth.access.approvals import TERMS, Unfit
from voiceauth.access.principal import Means
from voiceauth.access.rules import Refusal

WORDS: dict[type[StrEnum], set[str]] = {
    Means: {"certificate", "token", "local"},
    Refusal: {"unauthenticated", "role_missing", "wrong_tenant", "second_factor_missing"},
    Unfit: {
        "approval_missing",
        "approval_pending",
        "approval_by_nobody_known",
        "approval_same_person",
        "approval_unknown",
        "approval_expired",
        "approval_from_the_future",
        "approval_refused",
        "approval_used",
        "approval_decided",
        "approval_for_something_else",
        "approval_of_another_requester",
    },
}


@pytest.mark.parametrize("kind", WORDS)
def test_words_that_others_search_for_do_not_change(kind: type[StrEnum]) -> None:
    """A reason in an old entry means the same as in a new one."""
    assert WORDS[kind] <= {one.value for one in kind}


def test_the_permissions_of_two_persons_have_their_words() -> None:
    """An operation's two permissions are told apart by name, too."""
    assert [(str(one.ask), str(one.approve)) for one in TERMS.values()] == [
        ("export-subject", "approve-export"),
        ("erase-subjects", "approve-erasure"),
        ("destroy-key", "approve-destruction"),
    ]
