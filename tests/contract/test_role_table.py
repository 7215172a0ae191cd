# SPDX-License-Identifier: Apache-2.0
"""The roles in docs/api.md are the roles of the code, and so is what surrounds each RPC."""

from pathlib import Path

from voiceauth.access.roles import GRANTS, Role
from voiceauth.access.rpcs import ROWS, Deadline, Size

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def role_table() -> str:
    """Write the table: one line per RPC, one column per role."""
    lines = ["| RPC | " + " | ".join(Role) + " |", "|---" * (len(Role) + 1) + "|"]
    for name, row in ROWS.items():
        held = ["✓" if row.permission in GRANTS[role].permissions else "" for role in Role]
        lines.append(f"| `{name.rpartition('/')[2]}` | " + " | ".join(held) + " |")
    views = [GRANTS[role].view.value for role in Role]
    return "\n".join([*lines, "| *identifiers in replies* | " + " | ".join(views) + " |"])


def rpc_table() -> str:
    """Write what surrounds each RPC: one line each."""
    lines = [
        "| RPC | permission | deadline | size | another tenant | leaves in the ledger |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in ROWS.items():
        words = (row.permission, row.deadline.name, row.size.name, row.foreign)
        cells = [f"`{name.rpartition('/')[2]}`", *(one.lower() for one in words)]
        events = ", ".join(f"`{one}`" for one in row.events) or "nothing"
        lines.append(f"| {' | '.join(cells)} | {events}{' (a stream)' if row.stream else ''} |")
    return "\n".join(lines)


def test_the_table_of_roles_is_up_to_date() -> None:
    """Who may do what is written as it is enforced."""
    assert role_table() in PAGE.read_text(encoding="utf-8")


def test_the_table_of_rpcs_is_up_to_date() -> None:
    """What is checked before an RPC and left behind by it is written as it is enforced."""
    assert rpc_table() in PAGE.read_text(encoding="utf-8")


def test_the_bounds_of_an_rpc_are_settings() -> None:
    """Deadlines and sizes are named by the settings that an operator changes."""
    assert {one.value for one in Deadline} == {"max_stream_seconds", "request_seconds"}
    assert {one.value for one in Size} == {"max_message_bytes", "envelope"}
