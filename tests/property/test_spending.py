# SPDX-License-Identifier: Apache-2.0
from hypothesis import given
from hypothesis import strategies as st

from voiceauth.decision.spending import Spending, planned_looks

RATES = st.floats(1e-6, 0.5)


@given(total=RATES, looks=st.integers(1, 50), finals=st.lists(st.booleans(), max_size=120))
def test_the_shares_never_exceed_the_total(total: float, looks: int, finals: list[bool]) -> None:
    """However many looks are taken and whichever is called final, the union bound holds."""
    account = Spending(total, looks)

    spent = sum(account.next_target(final=final) for final in finals)

    assert spent <= total * (1 + 1e-9)


@given(total=RATES, looks=st.integers(1, 50), extra=st.integers(0, 100))
def test_the_last_look_keeps_its_share(total: float, looks: int, extra: int) -> None:
    """Unplanned early looks cannot eat the share of the last one."""
    account = Spending(total, looks)
    for _ in range(extra):
        account.next_target(final=False)

    last = account.next_target(final=True)

    assert last >= total / 2 * (1 - 1e-9)


@given(total=RATES, looks=st.integers(1, 50), early=st.integers(0, 60))
def test_a_final_look_spends_everything(total: float, looks: int, early: int) -> None:
    """Early shares and the final one add up to the whole rate: nothing is wasted."""
    account = Spending(total, looks)
    spent = sum(account.next_target(final=False) for _ in range(early))

    last = account.next_target(final=True)

    assert abs(spent + last - total) <= total * 1e-9
    assert account.next_target(final=True) == 0.0


@given(floor=st.floats(0.5, 10), more=st.floats(0, 60), step=st.floats(0.5, 10))
def test_planned_looks_cover_the_call(floor: float, more: float, step: float) -> None:
    """Looks one step apart from the floor reach the full length, and one fewer would not."""
    looks = planned_looks(floor, floor + more, step)

    assert floor + (looks - 1) * step >= floor + more - 1e-6
    assert looks == 1 or floor + (looks - 2) * step < floor + more
