# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceauth.errors import (
    EngineError,
    InputError,
    ModelHashMismatchError,
    SettingsError,
)
from voiceauth.evaluation.calibrate import CalibrationChoices, fit_calibration
from voiceauth.evaluation.comparing import compared_calls
from voiceauth.evaluation.fitting import fit_table
from voiceauth.evaluation.recordings import Piece, Voice
from voiceauth.evaluation.sessions import (
    Channel,
    Selection,
    Session,
    SessionChoices,
    labelled_recordings,
    record_sessions,
    sessions_of,
)
from voiceauth.models.bundle import write_cohort
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.cosine import unit
from voiceauth.scoring.fit import FitChoices
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.scoring.tables import dumps
from voiceauth.types import Bandwidth, ModelHash

DATA = Path(__file__).parents[2] / "data"
PEOPLE, DIMENSION = 12, 4
QUICK = FitChoices(draws=30)
NARROW, WIDE = Bandwidth.NARROWBAND, Bandwidth.WIDEBAND


def _sessions(seed: int = 1, noise: float = 0.35) -> list[Session]:
    """Made-up calls: each person is a direction, each span that direction with noise."""
    rng = np.random.default_rng(seed)
    voices = unit(rng.standard_normal((PEOPLE, DIMENSION)))
    sessions = []
    for person in range(PEOPLE):
        for division in range(2):
            for half in range(2):
                for channel, turn in [(Channel.TELEPHONE, t) for t in range(4)] + [
                    (Channel.MICROPHONE, t) for t in range(3)
                ]:
                    spans = [2.0, *[3.0] * 5]
                    pieces = tuple(
                        Piece(
                            unit(voices[person] + noise * rng.standard_normal(DIMENSION)),
                            net,
                            snr_db=12.0 + 5.0 * (turn % 3) + rng.uniform(-2.0, 2.0),
                        )
                        for net in spans
                    )
                    bandwidth = NARROW if channel is Channel.TELEPHONE else WIDE
                    voice = Voice(pieces, bandwidth)
                    sessions.append(Session(person, division, half, channel, turn, voice))
    return sessions


SESSIONS = _sessions()


def test_a_table_has_rising_nodes_with_monotone_lines() -> None:
    """Longer speech has its own node, and every line rises with the score."""
    table = fit_table(SESSIONS, NARROW, None, QUICK)

    lengths = [node.net_seconds for node in table.nodes]
    assert lengths == sorted(lengths)
    assert lengths[0] == pytest.approx(2.0)
    assert lengths[-1] == pytest.approx(17.0)
    assert table.support.net_seconds.least < 2.0
    assert table.support.enrolled_seconds.least < 2.0
    assert table.support.enrolled_seconds.most >= 17.0
    assert 9.0 < table.support.snr_db.least < 13.0
    assert all(table.line.at(corner)[0] > 0 for corner in table.support.corners())
    assert table.worth is not None
    assert table.worth.min_cllr <= table.worth.cllr < 1.0


def test_calibrated_ratios_separate_and_mean_what_they_say() -> None:
    """On fresh calls of the same kind, impostors rarely reach a ratio that is stated as rare."""
    table = fit_table(SESSIONS, NARROW, None, QUICK)
    fresh = [one for one in _sessions(seed=2) if one.channel is Channel.TELEPHONE]
    found = compared_calls(fresh, NARROW, None)[1]
    trials = found.trials
    node = table.nodes[1]
    ratios = table.line.ratios(trials.scores, table.support.clipped(found.conditions))

    reached = float(np.mean(ratios[~trials.target] >= 2.0))
    assert ratios[trials.target].mean() > ratios[~trials.target].mean()
    # Other people, so not exactly the stated bound; three times it would be a wrong table.
    stated = float(node.false_match[np.searchsorted(np.round(np.arange(-16, 16.01, 0.2), 6), 2.0)])
    assert reached < 3 * stated


def test_no_recording_and_no_channel_meets_itself() -> None:
    """A target trial has the same division, other halves and other channels."""
    loud = [replace(one, voice=_marked(one)) for one in SESSIONS if one.person < 2]

    trials = compared_calls(loud, NARROW, None)[0].trials

    same = trials.scores[trials.target]
    # Marked voices: 1 within a half, 0 between halves. A 1 would be a recording meeting itself.
    assert len(same) > 0
    np.testing.assert_allclose(same, 0.0, atol=1e-6)


def _marked(session: Session) -> Voice:
    mark = np.zeros(DIMENSION, dtype=np.float32)
    mark[session.half] = 1.0
    return Voice((Piece(mark, 2.0, 20.0), *(Piece(mark, 3.0, 20.0),) * 3), session.voice.bandwidth)


def test_wideband_probes_meet_both_kinds_of_enrolment() -> None:
    """The wideband table has more trials than microphone enrolments alone would give."""
    both = fit_table(SESSIONS, WIDE, None, QUICK)
    alone = fit_table(
        [one for one in SESSIONS if one.channel is Channel.MICROPHONE], WIDE, None, QUICK
    )

    assert both.nodes[0].impostor_trials > alone.nodes[0].impostor_trials


def test_a_bandwidth_without_calls_is_refused() -> None:
    """No calls, no table."""
    narrow = [one for one in SESSIONS if one.channel is Channel.TELEPHONE]

    with pytest.raises(InputError, match="wideband"):
        fit_table(narrow, WIDE, None, QUICK)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A model directory that lacks only its calibration and manifest."""
    (tmp_path / "tiny.onnx").write_bytes((DATA / "tiny-speaker.onnx").read_bytes())
    (tmp_path / "tiny.md").write_text("# tiny\n")
    cohort = unit(np.random.default_rng(3).standard_normal((30, DIMENSION)))
    write_cohort(tmp_path / "tiny-cohort.npz", cohort)
    return tmp_path


@pytest.mark.parametrize("top", [0, 10])
def test_a_fitted_calibration_scores_with_its_model_and_cohort(directory: Path, top: int) -> None:
    """The tables name their model and people, and the scorer accepts them with their cohort."""
    choices = CalibrationChoices(top=top, fit=QUICK)

    calibration = fit_calibration(
        SESSIONS, directory / "tiny.onnx", directory / "tiny-cohort.npz", choices
    )

    assert calibration.model == OnnxSpeaker.of_file(directory / "tiny.onnx").model
    assert calibration.speakers == PEOPLE
    assert {table.bandwidth for table in calibration.tables} == {NARROW, WIDE}
    cohort = unit(np.random.default_rng(3).standard_normal((30, DIMENSION)))
    scorer = CalibratedScorer(dumps(calibration), cohort)
    voice = SESSIONS[0].voice.mean()
    good = scorer.score(voice, voice, net_seconds=10.0, bandwidth=NARROW)
    bad = scorer.score(voice, -voice, net_seconds=10.0, bandwidth=NARROW)
    assert good.llr is not None
    assert bad.llr is not None
    assert good.llr > 0.0 > bad.llr


def test_a_cohort_that_says_it_is_another_models_is_refused(directory: Path) -> None:
    """Embeddings of another model are no cohort, however well their dimension fits."""
    rows = unit(np.random.default_rng(3).standard_normal((30, DIMENSION)))
    write_cohort(directory / "tiny-cohort.npz", rows, ModelHash("f" * 64))

    with pytest.raises(ModelHashMismatchError):
        fit_calibration(
            SESSIONS,
            directory / "tiny.onnx",
            directory / "tiny-cohort.npz",
            CalibrationChoices(top=10, fit=QUICK),
        )


def test_the_same_calls_give_the_same_version(directory: Path) -> None:
    """A version names its content: repeated it is equal, with other calls it is not."""
    files = directory / "tiny.onnx", directory / "tiny-cohort.npz"
    choices = CalibrationChoices(top=10, fit=QUICK)

    versions = [
        fit_calibration(sessions, *files, choices).version
        for sessions in (SESSIONS, SESSIONS, _sessions(seed=5))
    ]

    assert versions[0] == versions[1] != versions[2]


def test_the_test_split_is_refused() -> None:
    """Calibrating on test people would make every figure on them worthless."""
    with pytest.raises(SettingsError, match="test"):
        Selection({"split": "test"})


def test_people_of_the_test_split_are_left_out_unasked(tmp_path: Path) -> None:
    """A list with a column ``split`` is read without its test people, whatever was selected."""
    path = tmp_path / "manifest.csv"
    rows = [f"{p}-{r}.wav,s{p},{'test' if p < 3 else 'dev'}" for p in range(13) for r in range(4)]
    path.write_text("\n".join(["path,speaker,split", *rows]) + "\n")

    people = labelled_recordings(path, Selection())

    assert sorted(people) == sorted(f"s{p}" for p in range(3, 13))


def _manifest(folder: Path, people: int, recordings: int, header: str = "path,speaker") -> Path:
    path = folder / "manifest.csv"
    rows = [f"{p}-{r}.wav,s{p}" for p in range(people) for r in range(recordings)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_recordings_are_grouped_by_person(tmp_path: Path) -> None:
    """People with enough recordings are taken, with paths beside the manifest."""
    people = labelled_recordings(_manifest(tmp_path, 10, 4), Selection({}))

    assert len(people) == 10
    assert people["s3"] == tuple(tmp_path / f"3-{r}.wav" for r in range(4))


@pytest.mark.parametrize(
    ("people", "recordings", "header"),
    [(9, 4, "path,speaker"), (10, 3, "path,speaker"), (10, 4, "file,speaker")],
    ids=["people", "recordings", "column"],
)
def test_too_few_people_or_columns_are_refused(
    tmp_path: Path, people: int, recordings: int, header: str
) -> None:
    """Tables from a handful of voices would be guesses."""
    with pytest.raises(InputError):
        labelled_recordings(_manifest(tmp_path, people, recordings, header), Selection({}))


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    """A path that is not there is the caller's error."""
    with pytest.raises(InputError):
        labelled_recordings(tmp_path / "absent.csv", Selection({}))


def test_calls_of_a_person_are_seeded_and_cover_both_channels(tmp_path: Path) -> None:
    """Real speech gives telephone and microphone calls of both halves, the same every time."""
    paths = []
    for number, path in enumerate(sorted(DATA.glob("speech-*.opus")) * 2):
        samples, rate = soundfile.read(path, dtype="float32")
        paths.append(tmp_path / f"{number}.wav")
        soundfile.write(paths[-1], samples[: 6 * rate], rate)
    speaker = OnnxSpeaker.of_file(DATA / "tiny-speaker.onnx")
    choices = SessionChoices(divisions=1, telephone=2, microphone=1, workers=1)

    once, again = (sessions_of(0, "someone", tuple(paths), speaker, choices) for _ in range(2))

    assert {(one.half, one.channel) for one in once} == {
        (half, channel) for half in range(2) for channel in Channel
    }
    assert {(one.channel, one.voice.bandwidth) for one in once} == {
        (Channel.TELEPHONE, NARROW),
        (Channel.MICROPHONE, WIDE),
    }
    for one, other in zip(once, again, strict=True):
        np.testing.assert_array_equal(one.voice.mean(), other.voice.mean())


def test_workers_give_what_one_process_gives(tmp_path: Path) -> None:
    """How many processes hear the calls changes the speed, not the calls."""
    people = {}
    for name, path in zip(("ann", "bob"), sorted(DATA.glob("speech-*.opus")), strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        people[name] = (tmp_path / f"{name}-0.wav", tmp_path / f"{name}-1.wav")
        for number, part in enumerate(people[name]):
            soundfile.write(part, samples[number * 4 * rate : (number + 1) * 4 * rate], rate)
    choices = SessionChoices(divisions=1, telephone=2, microphone=0, workers=1)
    model = DATA / "tiny-speaker.onnx"

    alone = list(record_sessions(people, model, choices))
    shared = list(record_sessions(people, model, replace(choices, workers=2)))

    assert [len(some) for some in alone] == [len(some) for some in shared]
    assert all(len(some) >= 2 for some in alone)
    for one, other in zip(chain(*alone), chain(*shared), strict=True):
        np.testing.assert_allclose(one.voice.mean(), other.voice.mean(), atol=1e-6)


def test_calls_without_speech_cannot_calibrate(directory: Path) -> None:
    """No table at all is an error, not an empty calibration."""
    with pytest.raises(InputError, match="too little speech"):
        fit_calibration(
            [], directory / "tiny.onnx", directory / "tiny-cohort.npz", CalibrationChoices(top=10)
        )


def test_recordings_of_different_rates_are_refused(tmp_path: Path) -> None:
    """A person's recordings are joined, so they need one sampling rate."""
    for name, rate in (("a.wav", 8000), ("b.wav", 16000)):
        soundfile.write(tmp_path / name, np.zeros(rate), rate)
    speaker = OnnxSpeaker.of_file(DATA / "tiny-speaker.onnx")

    with pytest.raises(EngineError, match="sampling rates"):
        sessions_of(
            0, "someone", (tmp_path / "a.wav", tmp_path / "b.wav"), speaker, SessionChoices()
        )
