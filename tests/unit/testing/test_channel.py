# SPDX-License-Identifier: Apache-2.0
"""The telephone channel simulator."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voiceauth.errors import BadAudioError
from voiceauth.testing import acoustics
from voiceauth.testing.channel import (
    Channel,
    Noise,
    Reverberation,
    Severity,
    Sounds,
    apply,
    draw_channel,
)
from voiceauth.testing.codecs import Codec, Coding

G711_ONLY = Severity(slow_codecs=0.0)


def tone(hertz: float, samples: int = 16000, level: float = 0.1) -> NDArray[np.float32]:
    """A sine at 8 kHz; shape (samples,)."""
    wave = level * np.sin(2.0 * np.pi * hertz * np.arange(samples) / 8000.0)
    return np.asarray(wave, dtype=np.float32)


def level_db(waveform: NDArray[np.float32]) -> float:
    """Root-mean-square level in decibels."""
    return float(10.0 * np.log10(np.mean(np.square(waveform, dtype=np.float64)) + 1e-20))


def sounds() -> Sounds:
    """Recorded material, made of noise."""
    rng = np.random.default_rng(3)
    pieces = [rng.standard_normal(n).astype(np.float32) for n in (4000, 30000, 2000)]
    return Sounds(noises=(pieces[0],), babble=(pieces[1],), rooms=(pieces[2],))


@given(seed=st.integers(0, 10_000), samples=st.integers(1, 9000))
@settings(max_examples=60, deadline=None)
def test_any_call_gives_finite_audio_of_the_same_length(seed: int, samples: int) -> None:
    """Whatever is drawn, the output has the input's length and stays within full scale."""
    speech = np.random.default_rng(seed).standard_normal(samples).astype(np.float32) * 0.1
    material = sounds() if seed % 2 else None
    called = apply(draw_channel(np.random.default_rng(seed), material, G711_ONLY), speech, material)
    assert called.shape == speech.shape
    assert called.dtype == np.float32
    assert np.isfinite(called).all()
    assert np.abs(called).max() <= 1.0


def test_a_call_repeats_exactly() -> None:
    """The same description gives the same samples."""
    call = draw_channel(np.random.default_rng(5), sounds(), G711_ONLY)
    np.testing.assert_array_equal(
        apply(call, tone(440.0), sounds()), apply(call, tone(440.0), sounds())
    )


def test_draws_follow_the_seed() -> None:
    """Equal seeds draw equal calls, different seeds different ones."""
    calls = [draw_channel(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert calls[0] == calls[1]
    assert calls[0] != calls[2]


def test_severity_decides_the_codecs() -> None:
    """Without slow codecs every call is G.711; with all of them none is G.711 alone."""
    rng = np.random.default_rng(0)
    fixed = {Codec.PCMU, Codec.PCMA}
    for _ in range(50):
        assert {c.codec for c in draw_channel(rng, None, G711_ONLY).codings} <= fixed
        slow = draw_channel(rng, None, Severity(slow_codecs=1.0)).codings
        assert slow[0].codec not in fixed
        assert all(c.codec in fixed for c in slow[1:])


@pytest.mark.parametrize("kind", ["colour", "recorded", "babble"])
def test_noise_has_its_stated_level(kind: str) -> None:
    """The added noise lies at the stated signal-to-noise ratio."""
    speech = tone(500.0)
    call = Channel(level_db(speech), noises=(Noise(kind, 12.0, -3.0, 9),))
    noise = apply(call, speech, sounds()) * 1.0
    # The level is set after the noise: undo it with the known gain of the whole.
    gain = np.sqrt(1.0 + 10.0 ** (-12.0 / 10.0))
    residue = noise * gain - speech
    assert level_db(speech) - level_db(residue) == pytest.approx(12.0, abs=1.0)


def test_level_is_set() -> None:
    """A call without noise or codec leaves at the stated level."""
    assert level_db(apply(Channel(-27.0), tone(500.0, level=0.5))) == pytest.approx(-27.0, abs=0.05)


def test_silence_stays_silent() -> None:
    """Digital silence is not amplified."""
    assert not apply(Channel(-20.0), np.zeros(800, np.float32)).any()


def test_response_shapes_the_band() -> None:
    """Tones outside the pass-band are attenuated, the band's middle is not."""
    flat = (0.0,) * len(acoustics.KNOTS_HZ)

    def passed(hertz: float) -> float:
        return level_db(acoustics.respond(tone(hertz), flat, 300.0, 3400.0, 4)) - level_db(
            tone(hertz)
        )

    assert passed(1000.0) == pytest.approx(0.0, abs=0.3)
    assert passed(300.0) == pytest.approx(-3.0, abs=0.7)
    assert passed(100.0) < -20.0
    assert passed(3900.0) < -6.0


def test_response_follows_its_gains() -> None:
    """A gain at a knot is applied at that frequency."""
    gains = tuple(6.0 if hertz == 1100.0 else 0.0 for hertz in acoustics.KNOTS_HZ)
    shaped = acoustics.respond(tone(1100.0), gains, 0.0, 4000.0, 1)
    assert level_db(shaped) - level_db(tone(1100.0)) == pytest.approx(6.0, abs=0.2)


def test_reverberation_rings_on() -> None:
    """After the sound stops, a room rings and a booth does not; the direct sound stays in place."""
    burst = np.concatenate([tone(700.0, 2000), np.zeros(6000, np.float32)])
    room = Reverberation(decay=0.5, direct_db=0.0, recorded=-1, seed=1)
    wet = apply(Channel(level_db(burst), room=room), burst)
    dry = apply(Channel(level_db(burst)), burst)
    assert level_db(wet[2400:3200]) > -60.0
    assert level_db(dry[2400:3200]) < -100.0
    assert float(np.corrcoef(wet[:2000], dry[:2000])[0, 1]) > 0.5


def test_recorded_room_is_used() -> None:
    """A recorded room gives another sound than the synthetic one with the same seed."""
    synthetic = Reverberation(decay=0.3, direct_db=0.0, recorded=-1, seed=1)
    speech = tone(600.0)
    one = apply(Channel(-20.0, room=synthetic), speech, sounds())
    other = apply(Channel(-20.0, room=replace(synthetic, recorded=0)), speech, sounds())
    assert not np.allclose(one, other, atol=1e-3)


def test_lost_packets_repeat_the_last_good_one() -> None:
    """Concealment repeats the packet before the loss, quieter."""
    signal = np.repeat(np.arange(1.0, 41.0, dtype=np.float32), acoustics.FRAME) / 64.0
    heard = acoustics.lose_packets(signal, 0.2, 1.0, 4)
    packets = heard.reshape(-1, acoustics.FRAME)[:, 0] * 64.0
    lost = np.flatnonzero(packets != np.arange(1.0, 41.0))
    assert 2 <= len(lost) <= 20
    for index in lost:
        assert packets[index] == pytest.approx(acoustics.REPEAT_GAIN * packets[index - 1])


def test_long_losses_are_muted() -> None:
    """After a long burst there is silence, not an endless repeat."""
    heard = acoustics.lose_packets(tone(500.0), 0.95, 60.0, 1)
    tail = heard.reshape(-1, acoustics.FRAME)
    assert (np.abs(tail).max(axis=1) == 0.0).sum() > 10


def test_no_loss_leaves_the_signal_alone() -> None:
    """A loss rate of zero changes nothing."""
    np.testing.assert_array_equal(acoustics.lose_packets(tone(500.0), 0.0, 1.0, 1), tone(500.0))


def test_coloured_noise_tilts() -> None:
    """Negative tilt puts the energy into the bass."""
    noise = acoustics.coloured(16000, -6.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    octave = [power[lo:hi].mean() for lo, hi in ((400, 800), (3200, 6400))]
    assert 10.0 * np.log10(octave[0] / octave[1]) == pytest.approx(18.0, abs=2.0)


def test_double_coding_passes_both_codecs() -> None:
    """A GSM call that ends on a µ-law trunk sounds as if both codecs were applied in turn."""
    speech = tone(500.0)
    both = apply(Channel(-20.0, codings=(Coding(Codec.GSM), Coding(Codec.PCMU))), speech)
    first = apply(Channel(-20.0, codings=(Coding(Codec.GSM),)), speech)
    again = apply(Channel(level_db(first), codings=(Coding(Codec.PCMU),)), first)
    np.testing.assert_allclose(both, again, atol=1e-3)


@pytest.mark.parametrize(
    "waveform",
    [np.zeros(0), np.zeros((2, 80)), np.array([0.0, np.nan])],
    ids=["empty", "stereo", "nan"],
)
def test_impossible_audio_is_refused(waveform: NDArray[np.float64]) -> None:
    """A channel refuses audio that cannot be."""
    with pytest.raises(BadAudioError):
        apply(Channel(-20.0), waveform.astype(np.float32))
