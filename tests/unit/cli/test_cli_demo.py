# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from voiceauth.cli.demo import demo_settings
from voiceauth.cli.demo_callers import (
    DemoCall,
    DemoScript,
    attackers,
    callers,
    draw_line,
    mulaw,
    script,
)
from voiceauth.cli.demo_report import (
    AttackReport,
    CallReport,
    DemoReport,
    attack_report,
    report_of,
)
from voiceauth.cli.demo_screen import AttackTable, PhaseTable, mark_text
from voiceauth.types import (
    Decision,
    EnrolmentOutcome,
    EnrolmentProgress,
    EnrolmentResult,
    Evidence,
    Liveness,
    LivenessLayer,
    LivenessSlot,
    LivenessState,
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


def test_only_the_demo_accepts_a_voice_alone(tmp_path: object) -> None:
    """The demo chooses its policy by itself; that of an installation asks for another factor."""
    settings = demo_settings(tmp_path)  # type: ignore[arg-type]

    assert settings.policies[settings.default_policy].accept_on_voice_alone
    assert not settings.policies["standard"].accept_on_voice_alone


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


def attack(decision: Decision, state: LivenessState) -> AttackReport:
    """Return the report of a replay that was answered so, by a layer in that state."""
    replayed = DemoCall("a recording", "caller-01", "", b"", LivenessLayer.REPLAY)
    answer = verdict(decision)
    liveness = Liveness(replay=LivenessSlot(state))
    answer = replace(answer, evidence=replace(answer.evidence, liveness=liveness))
    return attack_report(replayed, answer)


@pytest.mark.parametrize(
    ("decision", "state", "passed"),
    [
        (Decision.REJECT, LivenessState.SUSPECT, True),
        (Decision.STEP_UP, LivenessState.SUSPECT, True),
        (Decision.ACCEPT, LivenessState.LIVE, False),
        (Decision.ACCEPT, LivenessState.NOT_MEASURED, True),
    ],
)
def test_the_demo_fails_with_an_accepted_attacker_whose_kind_is_looked_for(
    decision: Decision, state: LivenessState, passed: bool
) -> None:
    """A layer that runs and lets its attack through is a failed demo; an absent one is named."""
    people = [DemoCall(f"c{place}", f"c{place}", "", b"") for place in range(10)]
    verdicts = [verdict(Decision.ACCEPT)] * 10
    made = report_of(
        [], DemoScript((), tuple(people)), verdicts, 5, 1.0, attacks=[attack(decision, state)]
    )

    assert made.passed is passed
    assert made.attacks[0].looked_for is (state is not LivenessState.NOT_MEASURED)


def test_an_attacker_is_no_genuine_caller() -> None:
    """A recording of the caller is not the caller."""
    accepted = DemoCall("caller-02", "caller-02", "pcmu", b"\xff" * 800)
    synthetic, replayed = attackers(accepted, seed=1)

    assert not synthetic.genuine
    assert not replayed.genuine
    assert replayed.mulaw == accepted.mulaw
    assert (synthetic.attack, replayed.attack) == (LivenessLayer.SYNTHETIC, LivenessLayer.REPLAY)
    assert len(synthetic.mulaw) / 8000 > 5


def test_without_an_accepted_call_nothing_can_be_replayed() -> None:
    """The recording is one of an accepted call or does not exist."""
    assert [one.attack for one in attackers(None, seed=1)] == [LivenessLayer.SYNTHETIC]


def test_the_attack_table_says_which_layer_spoke() -> None:
    """Attacker, layer, verdict and reason stand in one row; an absent layer is no success."""
    console = Console(force_terminal=False, width=140, record=True)
    calls = (
        DemoCall("a recording", "caller-01", "", b"", LivenessLayer.REPLAY),
        DemoCall("a synthesiser", "caller-01", "", b"", LivenessLayer.SYNTHETIC),
    )
    phase = AttackTable("Attackers", calls, console)
    with phase.drawing():
        phase.update(0, attack(Decision.REJECT, LivenessState.SUSPECT).verdict)
        phase.update(1, verdict(Decision.STEP_UP))

    text = console.export_text()
    assert "replay suspect" in text
    assert "refused" in text
    assert "not looked for" in text
