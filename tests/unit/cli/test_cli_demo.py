# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from rich.console import Console

from voiceauth.cli.demo import CallReport, DemoReport, demo_settings, report_of
from voiceauth.cli.demo_callers import DemoCall, DemoScript, callers, draw_line, mulaw, script
from voiceauth.cli.demo_screen import PhaseTable, mark_text
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    ModelHash,
    Progress,
    Score,
    Verdict,
)


def verdict(decision: Decision) -> Verdict:
    """Return a verdict with that decision."""
    evidence = Evidence(Progress.DECIDED, 9.0, 6.0, 0.0, Score(0.7, 4.0, 0.002, 0.5))
    return Verdict(decision, evidence, "standard", 0.01, 1, ModelHash("0" * 64), "1")


def report(genuine: list[Decision], impostors: list[Decision]) -> DemoReport:
    """Return the report of a demo in which these decisions fell."""
    calls = [DemoCall(f"c{place}", f"c{place}", "", b"") for place in range(len(genuine))]
    calls += [DemoCall(f"c{place}", "other", "", b"") for place in range(len(impostors))]
    verdicts = [verdict(one) for one in (*genuine, *impostors)]
    return report_of([], DemoScript((), tuple(calls)), verdicts, 5, 1.0)


def test_ten_callers_impersonate_within_their_gender() -> None:
    """Each of ten callers is an impostor once, against another caller of the same gender."""
    people = {one.name: one for one in callers()}

    assert len(people) == 10
    assert {one.gender for one in people.values()} == {"f", "m"}
    for one in people.values():
        assert one.impersonates != one.name
        assert people[one.impersonates].gender == one.gender
    assert len({one.impersonates for one in people.values()}) == 10


def test_the_script_has_a_line_of_its_own_for_every_call() -> None:
    """One caller enrols, calls genuinely and impersonates, each over other audio; repeatably."""
    people = callers()[:1]

    made, again = script(people, seed=3), script(people, seed=3)
    other = script(people, seed=4)

    (enrolment,), (genuine, impostor) = made.enrolments, made.calls
    assert (genuine.genuine, impostor.genuine) == (True, False)
    assert len({one.mulaw for one in (enrolment, genuine, impostor)}) == 3
    assert genuine.mulaw == again.calls[0].mulaw
    assert genuine.mulaw != other.calls[0].mulaw


def test_the_demos_audio_is_long_enough() -> None:
    """Enrolment clips hold more than the 20 s that a voiceprint needs, probes at least 8 s."""
    made = script(callers()[:1], seed=1)

    assert len(made.enrolments[0].mulaw) / 8000 > 30
    assert all(len(one.mulaw) / 8000 >= 8 for one in made.calls)


def test_frames_are_20_ms_of_mulaw() -> None:
    """What goes over the wire is what telephony sends."""
    call = DemoCall("a", "a", "", bytes(1000))

    frames = list(call.sound().chunks)

    assert [len(frame) for frame in frames] == [160] * 6 + [40]


def test_mulaw_has_one_byte_per_sample() -> None:
    """Silence codes to mu-law's silence."""
    assert mulaw(np.zeros(4, np.float32)) == b"\xff" * 4


def test_some_calls_are_mobile_and_no_enrolment_is() -> None:
    """Half of the calls pass GSM first; enrolments come from fixed lines."""
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    mobile = [len(draw_line(rng, mobile=True).codings) == 2 for rng in rngs]
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    fixed = [len(draw_line(rng, mobile=False).codings) == 2 for rng in rngs]

    assert any(mobile)
    assert not all(mobile)
    assert not any(fixed)


@pytest.mark.parametrize(
    ("genuine", "impostors", "passed"),
    [
        ([Decision.ACCEPT] * 10, [Decision.REJECT] * 10, True),
        ([Decision.ACCEPT] * 9 + [Decision.STEP_UP], [Decision.STEP_UP] * 10, True),
        ([Decision.ACCEPT] * 8 + [Decision.STEP_UP] * 2, [Decision.REJECT] * 10, False),
        ([Decision.ACCEPT] * 10, [Decision.REJECT] * 9 + [Decision.ACCEPT], False),
    ],
)
def test_the_demo_passes_only_with_nine_genuine_and_no_impostor(
    genuine: list[Decision], impostors: list[Decision], passed: bool
) -> None:
    """One accepted impostor or a second lost genuine caller is a failed demo."""
    made = report(genuine, impostors)

    assert made.passed is passed
    assert isinstance(made.calls[0], CallReport)


def test_the_settings_of_the_operator_do_not_touch_the_demo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """The demo runs on defaults over its own folder, whatever the environment says."""
    monkeypatch.setenv("VOICEAUTH_SERVER__HOST", "0.0.0.0")  # noqa: S104 - must not be used
    settings = demo_settings(tmp_path)  # type: ignore[arg-type]

    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 0)
    assert settings.storage.data_dir == tmp_path


@pytest.mark.parametrize(
    ("decision", "genuine", "mark"),
    [
        (Decision.ACCEPT, True, "right"),
        (Decision.ACCEPT, False, "WRONG"),
        (Decision.REJECT, True, "WRONG"),
        (Decision.REJECT, False, "right"),
        (Decision.STEP_UP, True, "open"),
        (Decision.INCONCLUSIVE, False, "open"),
    ],
)
def test_right_wrong_and_open(decision: Decision, genuine: bool, mark: str) -> None:
    """Asking for another factor is neither right nor wrong; the rest is one of them."""
    assert mark_text(decision, genuine=genuine).plain == mark


def test_a_phase_is_printed_once_where_there_is_no_terminal() -> None:
    """In a log, each phase is one table with what was reached."""
    console = Console(force_terminal=False, width=100, record=True, quiet=False)
    calls = (DemoCall("caller-01", "caller-01", "", b""), DemoCall("caller-02", "x", "", b""))
    phase = PhaseTable("Calls", calls, console)
    with phase.drawing():
        phase.update(0, verdict(Decision.ACCEPT).evidence)
        phase.update(0, verdict(Decision.ACCEPT))
        phase.update(1, verdict(Decision.REJECT))

    text = console.export_text()
    assert text.count("caller-01") == 2
    assert "ACCEPT" in text
    assert "+4.0" in text


def test_the_enrolment_table_shows_progress_and_outcome() -> None:
    """Net speech grows and ends in an outcome."""
    console = Console(force_terminal=False, width=100, record=True)
    phase = PhaseTable("Enrol", (DemoCall("caller-01", "caller-01", "", b""),), console)
    with phase.drawing():
        phase.update(0, EnrolmentProgress(5.0, 15.0, 0.0))
        phase.update(0, EnrolmentResult(EnrolmentOutcome.ENROLLED, 21.0, 3, 1))

    text = console.export_text()
    assert "21.0 s" in text
    assert "enrolled" in text
