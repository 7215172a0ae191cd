# SPDX-License-Identifier: Apache-2.0
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceauth.cli.sound import RawAudio, SoundSource, open_sound, pcm16
from voiceauth.errors import BadAudioError, InputError, UnsupportedFormatError
from voiceauth.types import AudioFormat, Encoding


def wav(path: Path, rate_hz: int, channels: int = 1) -> np.typing.NDArray[np.floating]:
    """Write half a second in which each channel has its own constant value, and return it."""
    levels = np.arange(1, channels + 1, dtype=np.float32) / 8
    samples = np.tile(levels, (rate_hz // 2, 1))
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    return samples


def decoded(source: SoundSource) -> np.typing.NDArray[np.floating]:
    """Join a source's chunks and read them as PCM."""
    return np.frombuffer(b"".join(source.chunks), "<i2").astype(np.float32) / 32768


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_file_is_sent_at_its_own_rate(tmp_path: Path, rate_hz: int) -> None:
    """A rate of the contract goes over the wire unchanged, sample by sample."""
    samples = wav(tmp_path / "a.wav", rate_hz)

    source = open_sound(str(tmp_path / "a.wav"), RawAudio(), realtime=False)

    assert source.audio_format == AudioFormat(Encoding.PCM16LE, rate_hz)
    assert np.allclose(decoded(source), samples[:, 0], atol=1e-4)


def test_a_rate_beyond_the_contract_is_resampled(tmp_path: Path) -> None:
    """A studio file at 96 kHz is brought to 48 kHz, with its length kept."""
    wav(tmp_path / "a.wav", 96000)

    source = open_sound(str(tmp_path / "a.wav"), RawAudio(), realtime=False)

    assert source.audio_format.rate_hz == 48000
    assert abs(len(decoded(source)) - 24000) <= 1


def test_only_the_callers_channel_is_sent(tmp_path: Path) -> None:
    """Of a stereo file the named channel is sent, alone and unmixed."""
    samples = wav(tmp_path / "a.wav", 8000, channels=2)

    source = open_sound(str(tmp_path / "a.wav"), RawAudio(channel=1), realtime=False)

    assert source.audio_format.channels == 1
    assert np.allclose(decoded(source), samples[:, 1], atol=1e-4)


def test_a_channel_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Channel 1 of a mono file is an error, not silence."""
    wav(tmp_path / "a.wav", 8000)

    with pytest.raises(UnsupportedFormatError, match="--channel"):
        open_sound(str(tmp_path / "a.wav"), RawAudio(channel=1), realtime=False)


def test_real_time_means_frames_of_20_ms(tmp_path: Path) -> None:
    """At the pace of speech, a chunk holds 20 ms and knows it."""
    wav(tmp_path / "a.wav", 8000)

    source = open_sound(str(tmp_path / "a.wav"), RawAudio(), realtime=True)
    lengths = [source.seconds(chunk) for chunk in source.chunks]

    assert lengths == [pytest.approx(0.02)] * 25


def test_raw_audio_is_sent_as_it_is(tmp_path: Path) -> None:
    """Raw bytes are not looked at, an odd last one included."""
    data = bytes(range(256)) * 20 + b"x"
    (tmp_path / "a.ulaw").write_bytes(data)

    source = open_sound(str(tmp_path / "a.ulaw"), RawAudio(Encoding.ALAW), realtime=False)

    assert source.audio_format == AudioFormat(Encoding.ALAW, 8000)
    assert b"".join(source.chunks) == data


def test_standard_input_is_mulaw_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` without an encoding is what telephony pipes: 8 kHz mu-law."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff" * 1000)))

    source = open_sound("-", RawAudio(), realtime=True)

    assert source.audio_format == AudioFormat(Encoding.MULAW, 8000)
    assert b"".join(source.chunks) == b"\xff" * 1000


def test_a_missing_file_is_named() -> None:
    """The message says which file is not there."""
    with pytest.raises(InputError, match=r"nowhere\.wav"):
        open_sound("nowhere.wav", RawAudio(), realtime=False)


def test_a_file_that_is_no_audio_is_refused(tmp_path: Path) -> None:
    """A text file is refused, with the way to send raw audio."""
    (tmp_path / "a.wav").write_text("no audio at all")

    with pytest.raises(BadAudioError, match="--encoding"):
        open_sound(str(tmp_path / "a.wav"), RawAudio(), realtime=False)


def test_pcm_is_clipped_and_nan_is_silence() -> None:
    """Samples beyond full scale do not wrap around, and NaN does not become noise."""
    samples = np.array([2.0, -2.0, np.nan, np.inf, 0.5], np.float32)

    assert np.frombuffer(pcm16(samples), "<i2").tolist() == [32767, -32768, 0, 32767, 16384]
