# SPDX-License-Identifier: Apache-2.0
"""What a second of audio costs, and how long the answer takes after the last needed frame.

    python benchmarks/latency.py [--repeats 9] [--models DIR] [--json FILE]

The engine's own path (decode, voice activity, span, embedding, calibrated score) hears a call in
20-ms mu-law frames on one thread. With the ``train`` extra installed, the same spans go through
speechbrain's eager path (``Fbank``, sentence normalisation, ``ECAPA_TDNN``, cosine), on one thread
too, in the same process and interleaved span by span, so that a busy machine slows both alike:

* ``speechbrain, same width``: 256 channels, 64 bands, 8 kHz, as this engine's model.
* ``speechbrain, official shape``: 1024 channels, 80 bands, 16 kHz, as spkrec-ecapa-voxceleb.

Weights of the peer are random: speed does not depend on them. The peer has no decoding and no voice
activity to do here, which favours it.
"""

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from voiceauth.models.bundle import ModelBundle, load_bundle
from voiceauth.scoring.combine import WeightedMean
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.signal.g711 import encode_mulaw
from voiceauth.signal.net_speech import NetSpeech, SpeechOptions
from voiceauth.types import AudioFormat, Encoding, Samples

FRAME_BYTES = 160
RATE_HZ = 8000
SEED = 7
Encode = Callable[[Samples], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median with its spread, in milliseconds."""

    median_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times longer the peer takes, with a 90 % bootstrap interval over repeats."""

    value: float
    low: float
    high: float


@dataclass(slots=True)
class Times:
    """Seconds measured in one repeat.

    Attributes:
        call: the engine's whole path, all frames and spans.
        answers: from handing over the frame that completes a span to the score, per span.
        embeddings: of which the model, per span.
        peers: each peer's encoding of the same span, per span.
    """

    call: float
    answers: list[float]
    embeddings: list[float]
    peers: dict[str, list[float]]


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--models", type=Path, help="model directory; default the packaged one")
    parser.add_argument("--audio", type=Path, help="a recording; default a demo call")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    bundle = load_bundle(options.models)
    call, seconds = mulaw_call(options.audio or demo_recording())
    peers = load_peers()
    measured = [one_repeat(call, bundle, peers) for _ in range(options.repeats + 1)][1:]
    report = summarise(measured, seconds, bundle)
    print(render(report))
    if not peers:
        print("speechbrain is not installed (extra `train`): no comparison was made")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def demo_recording() -> Path:
    """Return a recording that comes with the package."""
    return Path(str(files("voiceauth") / "_demo" / "caller-01-genuine.opus"))


def mulaw_call(path: Path) -> tuple[bytes, float]:
    """Read a recording as a telephone would carry it: mu-law bytes, and its seconds."""
    samples, rate = soundfile.read(str(path), dtype="float32")
    narrow = soxr.resample(samples, rate, RATE_HZ)
    pcm = np.clip(np.round(narrow * 32767.0), -32768, 32767).astype(np.int16)
    return encode_mulaw(pcm).tobytes(), len(pcm) / RATE_HZ


def one_repeat(call: bytes, bundle: ModelBundle, peers: dict[str, Encode]) -> Times:
    """Hear one call; every completed span goes through the engine and through each peer."""
    clock = time.perf_counter
    scorer = CalibratedScorer(bundle.calibration, bundle.cohort)
    speech = NetSpeech(AudioFormat(Encoding.MULAW), SpeechOptions(rate_hz=bundle.speaker.rate_hz))
    probe, enrolled = WeightedMean(), bundle.cohort[0]
    times = Times(0.0, [], [], {name: [] for name in peers})
    frames = [call[at : at + FRAME_BYTES] for at in range(0, len(call), FRAME_BYTES)]
    for frame in (*frames, None):
        began = clock()
        spans = speech.finish() if frame is None else speech.push(frame)
        heard = clock()
        times.call += heard - began
        for span in (one for one in spans if one.counted):
            start = clock()
            embedding = bundle.speaker.embed(span.samples)
            embedded = clock()
            probe.add(embedding, span.net_seconds)
            scorer.score(
                probe.mean(),
                enrolled,
                net_seconds=probe.net_seconds,
                bandwidth=span.quality.bandwidth,
            )
            scored = clock()
            times.call += scored - start
            times.answers.append(scored - start + heard - began)
            times.embeddings.append(embedded - start)
            for name, encode in peers.items():
                start = clock()
                voice = encode(span.samples)
                float(voice @ voice / np.linalg.norm(voice) ** 2)
                times.peers[name].append(clock() - start)
    return times


def load_peers() -> dict[str, Encode]:
    """Build speechbrain's modules by hand, with seeded weights; nothing without the extra."""
    try:
        torch: Any = importlib.import_module("torch")
        network: Any = importlib.import_module("speechbrain.lobes.models.ECAPA_TDNN")
        features: Any = importlib.import_module("speechbrain.lobes.features")
        processing: Any = importlib.import_module("speechbrain.processing.features")
    except ImportError:
        return {}
    torch.set_num_threads(1)
    torch.manual_seed(SEED)

    def peer(channels: int, attention: int, bands: int, rate: int) -> Encode:
        fbank = features.Fbank(sample_rate=rate, n_mels=bands)
        normalise = processing.InputNormalization(norm_type="sentence", std_norm=False)
        ecapa = network.ECAPA_TDNN(
            bands,
            channels=[*[channels] * 4, 3 * channels],
            attention_channels=attention,
            lin_neurons=192,
        ).eval()
        length = torch.ones(1)

        def encode(samples: Samples) -> NDArray[np.float32]:
            # Resampling is not the peer's cost: it gets as many samples as its rate would bring.
            audio = np.repeat(samples, rate // RATE_HZ)
            with torch.inference_mode():
                frames = normalise(fbank(torch.from_numpy(audio)[None]), length)
                voice = ecapa(frames, length)
            return np.asarray(voice.squeeze().numpy(), dtype=np.float32)

        return encode

    return {
        "speechbrain, same width": peer(256, 64, 64, 8000),
        "speechbrain, official shape": peer(1024, 128, 80, 16000),
    }


def summarise(measured: list[Times], seconds: float, bundle: ModelBundle) -> dict[str, Any]:
    """Reduce the repeats to medians, spreads and ratios."""
    cost = np.array([one.call for one in measured]) / seconds
    answers = np.array([np.median(one.answers) for one in measured])
    embeddings = np.array([np.median(one.embeddings) for one in measured])
    rows = {
        "engine: a second of audio": asdict(figure(cost)),
        "engine: last needed frame to evidence": asdict(figure(answers)),
        "engine: of which the model": asdict(figure(embeddings)),
    }
    ratios = {}
    for name in measured[0].peers:
        encoded = np.array([np.median(one.peers[name]) for one in measured])
        rows[f"{name}: a span"] = asdict(figure(encoded))
        ratios[f"{name} over the engine's answer"] = asdict(ratio(encoded, answers))
    return {
        "machine": machine(),
        "model": bundle.cards[0].name,
        "model_sha256": bundle.speaker.model,
        "repeats": len(measured),
        "spans": len(measured[0].answers),
        "audio_seconds": seconds,
        "milliseconds": rows,
        "ratios": ratios,
    }


def figure(values: NDArray[np.float64]) -> Figure:
    """Median and central 80 % of repeats, given in seconds."""
    low, middle, high = 1000.0 * np.quantile(values, [0.1, 0.5, 0.9])
    return Figure(round(float(middle), 3), round(float(low), 3), round(float(high), 3))


def ratio(slower: NDArray[np.float64], faster: NDArray[np.float64]) -> Ratio:
    """Median of the paired ratios, each repeat being its own pair."""
    paired = slower / faster
    rng = np.random.default_rng(SEED)
    drawn = np.median(paired[rng.integers(len(paired), size=(1000, len(paired)))], axis=1)
    low, high = np.quantile(drawn, [0.05, 0.95])
    return Ratio(round(float(np.median(paired)), 2), round(float(low), 2), round(float(high), 2))


def spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Median with the central 80 %."""
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {
        "median": round(float(middle), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
    }


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    described: dict[str, Any] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "onnxruntime": version("onnxruntime"),
    }
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [
            line.split(":")[1].strip()
            for line in cpus.read_text().splitlines()
            if "model name" in line
        ]
        described["processor"] = names[0] if names else "unknown"
    return described


def render(report: dict[str, Any]) -> str:
    """Write the report as a table."""
    where = report["machine"]
    head = (
        f"{where.get('processor', 'unknown processor')}, {where['cores']} cores, "
        f"load {where['load'][0]}, one thread each; {report['repeats']} repeats of "
        f"{report['audio_seconds']:.1f} s of audio with {report['spans']} spans"
    )
    lines = [
        head,
        f"model {report['model']}",
        f"{'milliseconds':46} {'median':>9} {'10 %':>9} {'90 %':>9}",
    ]
    lines += [
        f"{name:46} {row['median_ms']:9.2f} {row['low_ms']:9.2f} {row['high_ms']:9.2f}"
        for name, row in report["milliseconds"].items()
    ]
    lines += [
        f"{name}: {row['value']:.2f} times (90 % interval {row['low']:.2f} to {row['high']:.2f})"
        for name, row in report["ratios"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
