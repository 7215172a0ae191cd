# SPDX-License-Identifier: Apache-2.0
"""Reading a speech pack, and the treatment of pauses."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceauth.errors import BadAudioError, SettingsError
from voiceauth.training.corpus import load_corpus, load_voices, read_audio
from voiceauth.training.pauses import limit_pauses

pytestmark = pytest.mark.train


def test_splits_do_not_mix(pack: Path, tmp_path: Path) -> None:
    """A training corpus holds no dev or test speaker."""
    people = {
        split: set(load_corpus(pack, tmp_path, "speech", split).speakers())
        for split in ("train", "dev", "test")
    }
    assert people["train"] == {"S0", "S1", "S2", "S3"}
    assert not people["train"] & (people["dev"] | people["test"])
    assert not people["dev"] & people["test"]


def test_cached_audio_is_the_file(pack: Path, tmp_path: Path) -> None:
    """What the cache returns is the decoded file, to 16-bit precision."""
    corpus = load_corpus(pack, tmp_path, "noise", "train")
    wave, _ = soundfile.read(pack / corpus.clips[0].path, dtype="float32")
    np.testing.assert_allclose(corpus.samples(0), wave, atol=1.0 / 32767)


def test_changed_manifest_decodes_again(pack: Path, tmp_path: Path) -> None:
    """A cache of other rows is not taken for these rows."""
    whole = load_corpus(pack, tmp_path, "speech", "train")
    manifest = (pack / "manifest.csv").read_text().splitlines()
    for line in manifest:
        if ",speech," not in line or "3-4.flac" not in line:
            continue
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "speech").symlink_to(pack / "speech")
        (copy / "manifest.csv").write_text("\n".join(m for m in manifest if m != line) + "\n")
        fewer = load_corpus(copy, tmp_path, "speech", "train")
        assert len(fewer.clips) == len(whole.clips) - 1
        assert fewer.digest != whole.digest


def test_voices_join_speech_synthetic_voices_and_further_packs(pack: Path, tmp_path: Path) -> None:
    """One corpus holds train speech of all packs and synthetic train voices, each clip unharmed."""
    more = tmp_path / "more"
    more.mkdir()
    tone = (0.1 * np.sin(np.arange(16000) * 0.2)).astype(np.float32)
    soundfile.write(more / "voice.flac", tone, 16000)
    soundfile.write(more / "guest.flac", 0.5 * tone, 16000)
    header = "path,set,kind,speaker,split,gender,age,seconds"
    rows = ["voice.flac,tts,spoof,robot,train,,,1", "guest.flac,own,speech,guest,train,,,1"]
    (more / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    whole = load_voices(pack, tmp_path / "cache", more)
    assert "guest" in whole.speakers()
    assert set(whole.speakers()) == {"S0", "S1", "S2", "S3", "guest"}
    np.testing.assert_allclose(whole.samples(len(whole.clips) - 1), 0.5 * tone, atol=1e-4)
    alone = load_voices(more, tmp_path / "other")
    assert alone.speakers() == ("guest", "robot")
    assert alone.digest != whole.digest


def test_missing_manifest_is_said(tmp_path: Path) -> None:
    """A folder without a manifest is refused in words."""
    with pytest.raises(SettingsError, match=r"manifest\.csv"):
        load_corpus(tmp_path, tmp_path, "speech", "train")


def test_absent_split_is_said(pack: Path, tmp_path: Path) -> None:
    """Asking for rows that the manifest does not have is an error, not an empty corpus."""
    with pytest.raises(SettingsError, match="spoof"):
        load_corpus(pack, tmp_path, "spoof", "train")


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2)])
def test_other_formats_are_refused(tmp_path: Path, rate: int, channels: int) -> None:
    """Only 16 kHz mono is taken; nothing is resampled or mixed in silence."""
    path = tmp_path / "other.wav"
    soundfile.write(path, np.zeros((800, channels)), rate)
    with pytest.raises(BadAudioError):
        read_audio(path)


def test_long_pauses_are_cut_to_three_tenths() -> None:
    """A second of silence becomes 0.3 s: 0.2 s after one word and 0.1 s before the next."""
    word = np.sin(np.arange(8000) * 0.4).astype(np.float32)
    silence = np.zeros(16000, np.float32)
    limited = limit_pauses(np.concatenate([silence, word, silence, word, silence]), 16000)
    assert len(limited) == 1600 + 8000 + 4800 + 8000 + 3200


def test_short_pauses_stay() -> None:
    """A pause of 0.25 s is left as it is."""
    word = np.sin(np.arange(8000) * 0.4).astype(np.float32)
    speech = np.concatenate([word, np.zeros(4000, np.float32), word])
    np.testing.assert_array_equal(limit_pauses(speech, 16000), speech)


@pytest.mark.parametrize("samples", [0, 100, 16000])
def test_silence_passes_the_limiter(samples: int) -> None:
    """Digital silence and fragments come back unharmed: there is no speech to measure against."""
    assert limit_pauses(np.zeros(samples, np.float32), 16000).shape == (samples,)
