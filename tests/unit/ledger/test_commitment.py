# SPDX-License-Identifier: Apache-2.0
import re

from voiceauth.ledger.pseudonym import commitment
from voiceauth.types import TenantId

BANK = TenantId("bank")


def test_a_commitment_ties_an_erasure_to_a_person_for_who_has_the_token() -> None:
    """Token, tenant and person all count, and none of them can be read from it."""
    own = commitment("token-1", BANK, "alice")
    others = {
        commitment("token-2", BANK, "alice"),
        commitment("token-1", TenantId("shop"), "alice"),
        commitment("token-1", BANK, "bob"),
        commitment("token-1", TenantId("bankal"), "ice"),
    }

    assert own == commitment("token-1", BANK, "alice")
    assert own not in others
    assert len(others) == 4
    assert re.fullmatch(r"[0-9a-f]{64}", own)
