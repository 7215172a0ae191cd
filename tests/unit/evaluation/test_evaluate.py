# SPDX-License-Identifier: Apache-2.0
"""Evaluation on two real readers, cut into a few recordings, with a model of 802 bytes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceauth.errors import BadAudioError, InputError
from voiceauth.evaluation import plots
from voiceauth.evaluation.recordings import listen, read_recording
from voiceauth.evaluation.report import render, summarise
from voiceauth.evaluation.run import EvaluationChoices, evaluate
from voiceauth.evaluation.trials import Trial, TrialList
from voiceauth.models.speaker import OnnxSpeaker
from voiceauth.scoring.combine import centroid
from voiceauth.scoring.cosine import cosine
from voiceauth.signal.options import SpeechOptions
from voiceauth.signal.waveform import spans_of
from voiceauth.types import Bandwidth, Embedding, Score
from voiceauth.units import Seconds

DATA = Path(__file__).parents[2] / "data"
RATE_HZ = 16000


@pytest.fixture(scope="module")
def speaker() -> OnnxSpeaker:
    """The tiny model: not a good one, but a real one."""
    return OnnxSpeaker.of_file(DATA / "tiny-speaker.onnx")


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> TrialList:
    """Two readers, an enrolment and a test recording each, all pairs; one recording is silent."""
    root = tmp_path_factory.mktemp("recordings")
    for name, path in zip(("ann", "bob"), sorted(DATA.glob("speech-*.opus")), strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        middle = len(samples) // 2
        soundfile.write(root / f"{name}-enrol.wav", samples[:middle], rate)
        soundfile.write(root / f"{name}-test.flac", samples[middle:], rate)
    soundfile.write(root / "silence.wav", np.zeros(RATE_HZ * 3), RATE_HZ)
    trials = [
        Trial(one, (f"{one}-enrol.wav",), f"{other}-test.flac", target=one == other)
        for one in ("ann", "bob")
        for other in ("ann", "bob")
    ]
    return TrialList(root, (*trials, Trial("ann", ("ann-enrol.wav",), "silence.wav", target=True)))


class _Scorer:
    """Calls every raw score a ratio of ten times it, with rates that follow."""

    version = "made up"

    def __init__(self) -> None:
        self.asked: list[tuple[Seconds, Bandwidth]] = []
        self.conditions: list[tuple[float | None, float | None]] = []

    def score(
        self,
        probe: Embedding,
        enrolled: Embedding,
        *,
        net_seconds: Seconds,
        bandwidth: Bandwidth,
        enrolled_seconds: float | None = None,
        snr_db: float | None = None,
    ) -> Score:
        self.asked.append((net_seconds, bandwidth))
        self.conditions.append((enrolled_seconds, snr_db))
        raw = cosine(probe, enrolled)
        return Score(raw, llr=10.0 * raw, false_match_rate=0.005, false_non_match_rate=0.5)


def test_a_trial_is_scored_by_the_engines_own_path(
    speaker: OnnxSpeaker, listing: TrialList
) -> None:
    """Spans, embeddings and their weighted mean: the score equals that path done by hand."""
    scored = evaluate(listing, speaker, None)

    def by_hand(name: str) -> Embedding:
        samples, rate = soundfile.read(listing.root / name, dtype="float32")
        spans = [span for span in spans_of(samples, rate) if span.counted]
        return centroid((speaker.embed(span.samples), span.net_seconds) for span in spans)

    expected = [
        cosine(by_hand(f"{other}-test.flac"), by_hand(f"{one}-enrol.wav"))
        for one in ("ann", "bob")
        for other in ("ann", "bob")
    ]
    np.testing.assert_allclose(scored.trials.scores, expected, atol=1e-6)
    assert scored.trials.target.tolist() == [True, False, False, True]


def test_a_recording_without_speech_is_counted_and_named(
    speaker: OnnxSpeaker, listing: TrialList
) -> None:
    """What could not be scored is reported, with the trials that it cost."""
    scored = evaluate(listing, speaker, None)

    assert scored.unheard == ("silence.wav",)
    assert scored.lost == (1, 0)


def test_progress_counts_every_recording_once(speaker: OnnxSpeaker, listing: TrialList) -> None:
    """Two enrolments and three tests are five recordings, however many trials there are."""
    seen: list[tuple[int, int]] = []

    evaluate(listing, speaker, None, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(one, 5) for one in range(1, 6)]


def test_the_scorer_is_asked_with_length_and_bandwidth(
    speaker: OnnxSpeaker, listing: TrialList
) -> None:
    """Calibration depends on net speech and bandwidth, so both reach the scorer."""
    scorer = _Scorer()

    scored = evaluate(listing, speaker, scorer)

    assert len(scorer.asked) == len(scored.scores) == 4
    assert all(seconds > 0.5 for seconds, _ in scorer.asked)
    assert {bandwidth for _, bandwidth in scorer.asked} == {Bandwidth.WIDEBAND}
    assert all(enrolled and snr_db is not None for enrolled, snr_db in scorer.conditions)


def test_simulated_lines_are_seeded_and_make_narrowband(
    speaker: OnnxSpeaker, listing: TrialList
) -> None:
    """The same seed gives the same scores, another seed other ones; a line is narrowband."""
    scorer = _Scorer()
    scores = [
        evaluate(
            listing,
            speaker,
            scorer,
            EvaluationChoices(enrol_by_line=True, test_by_line=True, seed=seed),
        ).trials.scores
        for seed in (1, 1, 2)
    ]

    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])
    assert {bandwidth for _, bandwidth in scorer.asked} == {Bandwidth.NARROWBAND}


def test_a_list_without_speech_is_refused(speaker: OnnxSpeaker, listing: TrialList) -> None:
    """If one kind of trial is lost altogether, there are no error rates."""
    silent = TrialList(listing.root, (listing.trials[1], listing.trials[-1]))

    with pytest.raises(InputError, match="enough speech"):
        evaluate(silent, speaker, None)


@pytest.mark.parametrize("content", [None, b"", b"RIFF not audio"])
def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Missing and broken files surface as the engine's own error, with their name."""
    path = tmp_path / "call.wav"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadAudioError, match=r"call\.wav"):
        read_recording(path)


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    """A header without samples is no recording."""
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE_HZ)

    with pytest.raises(BadAudioError, match="empty"):
        read_recording(tmp_path / "empty.wav")


def test_the_first_channel_is_heard(tmp_path: Path) -> None:
    """Channels are never mixed: the caller's is the first."""
    both = np.stack([np.full(100, 0.25), np.full(100, -0.5)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", both, 8000)

    samples, rate = read_recording(tmp_path / "stereo.wav")

    assert rate == 8000
    np.testing.assert_allclose(samples, 0.25, atol=1e-4)


def test_what_was_heard_of_silence_is_nothing(speaker: OnnxSpeaker) -> None:
    """No speech gives no pieces and no bandwidth, not an error."""
    voice = listen(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ, speaker, SpeechOptions())

    assert (voice.pieces, voice.bandwidth, voice.net_seconds) == ((), None, 0)


def test_a_report_states_the_figures_and_what_was_lost(
    speaker: OnnxSpeaker, listing: TrialList
) -> None:
    """Text and JSON hold the same figures, and the lost recordings are in both."""
    report = summarise(evaluate(listing, speaker, _Scorer()), "two readers", draws=10)

    fields = json.loads(report.to_json())
    assert fields["unheard"] == ["silence.wav"]
    assert fields["target_trials"] == fields["impostor_trials"] == 2
    assert fields["supported"] == 1.0
    assert fields["points"][0]["stated_kept"] == 1.0
    assert fields["points"][1]["stated_kept"] == 0.0
    text = render(report)
    assert "two readers" in text
    assert "1 recordings, 1 trials" in text
    assert "too few trials" in text


def test_without_calibration_no_ratio_is_rated(speaker: OnnxSpeaker, listing: TrialList) -> None:
    """A model without tables has error rates, but no Cllr and no stated rates."""
    report = summarise(evaluate(listing, speaker, None), "plain", draws=10)

    assert report.cllr is None
    assert all(point.stated_kept is None for point in report.points)
    assert "not calibrated" in render(report)


@pytest.mark.parametrize("draw", ["det", "scores"])
def test_pictures_are_written(
    speaker: OnnxSpeaker, listing: TrialList, tmp_path: Path, draw: str
) -> None:
    """Both pictures are PNG files."""
    trials = evaluate(listing, speaker, None).trials
    path = tmp_path / "picture.png"
    if draw == "det":
        plots.plot_det(path, {"tiny": trials})
    else:
        plots.plot_scores(path, trials)

    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_on_few_false_matches_says_so(speaker: OnnxSpeaker, listing: TrialList) -> None:
    """Between 3 and 30 expected false matches the figure is printed with a word of caution."""
    report = summarise(evaluate(listing, speaker, _Scorer()), "two readers", draws=10)
    point = replace(report.points[1], false_non_match=report.equal_error_rate)
    hinted = replace(report, impostor_trials=24_000, points=(report.points[0], point))
    firm = replace(hinted, impostor_trials=30_000)

    assert "on 24 false matches only" in render(hinted)
    assert "false matches only" not in render(firm)
