# SPDX-License-Identifier: Apache-2.0
"""The roles in docs/api.md are the roles of the code."""

from pathlib import Path

from voiceauth.access.roles import GRANTS, Role
from voiceauth.access.rpcs import ROWS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def role_table() -> str:
    """Write the table: one line per RPC, one column per role."""
    lines = ["| RPC | " + " | ".join(Role) + " |", "|---" * (len(Role) + 1) + "|"]
    for name, row in ROWS.items():
        held = ["✓" if row.permission in GRANTS[role].permissions else "" for role in Role]
        lines.append(f"| `{name.rpartition('/')[2]}` | " + " | ".join(held) + " |")
    views = [GRANTS[role].view.value for role in Role]
    return "\n".join([*lines, "| *identifiers in replies* | " + " | ".join(views) + " |"])


def test_the_table_of_roles_is_up_to_date() -> None:
    """Who may do what is written as it is enforced."""
    assert role_table() in PAGE.read_text(encoding="utf-8")
