# SPDX-License-Identifier: Apache-2.0
import pytest

from voiceauth.cli.lockouts import _print
from voiceauth.types import LockoutStanding, SubjectId


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (LockoutStanding(SubjectId("s"), 0, 2, 9, False, 0.0), "voice path open; 0 failed and 2"),
        (LockoutStanding(SubjectId("s"), 6, 0, 6, False, 59.6), "closed for 60 s; 6 failed"),
        (LockoutStanding(SubjectId("s"), 50, 0, 50, True, 0.0), "closed until staff open it"),
        (LockoutStanding(SubjectId("s"), 0, 0, 0, False, 0.0, 3), "; 3 from this number\n"),
        (
            LockoutStanding(SubjectId("s"), 0, 0, 0, False, 0.0, 20, number_over_budget=True),
            "; 20 from this number (over its budget)",
        ),
    ],
)
def test_a_closed_path_says_how_it_opens(
    capsys: pytest.CaptureFixture[str], standing: LockoutStanding, told: str
) -> None:
    """Staff read whether to wait, to unlock, or to look at the number."""
    _print(standing, as_json=False)

    assert told in capsys.readouterr().out
