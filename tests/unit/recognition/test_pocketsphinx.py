# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from voiceauth.errors import RecognitionError
from voiceauth.liveness.challenge import DIGITS, HEARD_DIGITS
from voiceauth.recognition.cepstra import cepstra
from voiceauth.recognition.pocketsphinx import PocketSphinxRecognizer, llr_of


def test_cepstra_have_one_frame_per_hop_and_no_mean() -> None:
    """A second of audio gives about a hundred frames of 13 numbers, each with mean zero."""
    sound = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)

    found = cepstra(sound)

    assert found.shape == (98, 13)
    assert np.allclose(found.mean(axis=0), 0.0, atol=1e-3)
    assert cepstra(sound[:100]).shape == (0, 13)


def test_a_larger_deficit_is_less_evidence() -> None:
    """The ratio falls with the deficit, is for the words without one, and is bounded."""
    ratios = [llr_of(deficit) for deficit in (0.0, 100.0, 400.0, 1e5)]

    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0 > ratios[2]
    assert ratios[3] == -15.0


@pytest.fixture(scope="module")
def recogniser() -> PocketSphinxRecognizer:
    """Return the recogniser, where its extra is installed."""
    pytest.importorskip("pocketsphinx")
    return PocketSphinxRecognizer()


@pytest.mark.parametrize("expected", [("four", "four", "xyzzy"), ("Four",)])
def test_an_unknown_word_is_an_error(
    recogniser: PocketSphinxRecognizer, expected: tuple[str, ...]
) -> None:
    """A word without a pronunciation cannot be recognised, and is not passed over."""
    sound = np.random.default_rng(1).normal(0, 0.1, 8000).astype(np.float32)

    with pytest.raises(RecognitionError):
        recogniser.recognise(sound, 8000, expected, HEARD_DIGITS)


def test_too_little_audio_is_an_error(recogniser: PocketSphinxRecognizer) -> None:
    """What cannot hold the words at all is no evidence against them, but an error."""
    with pytest.raises(RecognitionError):
        recogniser.recognise(np.zeros(400, dtype=np.float32), 8000, DIGITS[:6], HEARD_DIGITS)
