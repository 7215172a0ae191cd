# SPDX-License-Identifier: Apache-2.0
"""The speaker model's card, written from the record of a publication, never by hand."""

from pathlib import Path
from typing import Any

CONDITIONS = {
    "wideband": "source against source (band-limited to 8 kHz)",
    "telephone": "one simulated call against another",
    "crossed": "source enrolment, simulated call as probe",
}


def write_card(path: Path, record: dict[str, Any]) -> None:
    """Write the card as Markdown.

    Args:
        path: file to write.
        record: from ``publish``.
    """
    last, plan = record["run"]["metrics"][-1], record["run"]["plan"]
    path.write_text(
        _TEMPLATE.format(
            name=record["name"],
            sha256=record["sha256"],
            channels=record["channels"],
            weights=record["weights"] / 1e6,
            int8=_int8(record["int8"]),
            people=record["people"],
            synthetic=record["synthetic_voices"],
            variants=record["variants"],
            stem=_stem(plan),
            shortest=plan["crops"]["shortest"],
            longest=plan["crops"]["longest"],
            parity=max(1.0 - record["parity_cosine"], 1e-7),
            segments=last["segments"],
            minutes=last["elapsed"] / 60.0,
            start=_start(plan),
            development=_development(record["dev_eer"]),
            test=_test(record["test"]),
        ),
        encoding="utf-8",
    )


def _stem(plan: dict[str, Any]) -> str:
    """Say what stands beside the first convolution."""
    thin = plan["shape"]["stem"]
    if not thin:
        return "and nothing beside it"
    return f"and five small two-dimensional ones of {thin} and {thin * 3 // 2} channels beside it"


def _start(plan: dict[str, Any]) -> str:
    """Say so where the run did not start from nothing."""
    if not plan.get("init"):
        return ""
    return " The weights that it\nstarted from came out of an earlier run."


def _int8(record: dict[str, Any]) -> str:
    """Say how the int8 form compares, where there is one."""
    if "refused" in record:
        return ""
    found = record["agreement"]
    difference = max(abs(found["fp32"][name] - found["int8"][name]) for name in CONDITIONS)
    return (
        "- The int8 form takes the same voiceprints: on the dev speakers its embeddings have a "
        f"mean cosine of\n  {found['mean_cosine']:.4f} with those above (the least is "
        f"{found['least_cosine']:.3f}), and equal error rates differ by at most\n"
        f"  {100 * difference:.2f} points.\n"
    )


def _development(rates: dict[str, float]) -> str:
    lines = [f"| {CONDITIONS[name]} | {100 * rate:.1f} % |" for name, rate in rates.items()]
    return "\n".join(["| condition | EER |", "|---|---|", *lines])


def _test(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"| {CONDITIONS[row['condition']]} | {row['group']} | {100 * row['rate']:.1f} % "
        f"| {100 * row['low']:.1f} to {100 * row['high']:.1f} % "
        f"| {row['targets']:,} / {row['others']:,} |"
        for row in rows
    ]
    header = "| condition | trials | EER | 95 % interval | target / non-target |"
    return "\n".join([header, "|---|---|---|---|---|", *lines])


_TEMPLATE = """# {name}

A speaker embedding for telephone speech: 8 kHz waveform in, unit vector of 192 dimensions out.
SHA-256 `{sha256}`.
Licence: Apache-2.0.

## What it is

- Input `waveform`, float32 `[batch, samples]`, 8 kHz, nominal range -1 to 1, speech with pauses of
  at most 0.3 s; half a second at least, two seconds and more to be of use.
- Output `embedding`, float32 `[batch, 192]`, Euclidean norm 1. Compare by cosine.
- Inside: 64 mel bands from 60 to 3800 Hz (25 ms frames every 10 ms, logarithm, mean removed over
  the utterance), then ECAPA-TDNN with {channels} channels whose first convolution has stride 2
  {stem};
  {weights:.1f} million weights. On spans of 1 to 7 s, ONNX and torch differ by {parity:.0e} in
  cosine at most.
{int8}
## How it was trained

By distillation: CAM++ (`campplus_cn_en_common`, 200,000 training speakers, Apache-2.0) hears clean
wideband speech, this model hears a telephone crop of {shortest:g} to {longest:g} s and is to give
the same answer. Crops pass a random room, noise and babble, handset response, codec (G.711, GSM,
AMR-NB, Opus, G.722, G.726), packet loss and line; 15 % pass none. The loss adds
the squared difference of the batch's similarity matrices and a margin softmax over speakers, each
in {variants} variants of speed and formants, by Muon and AdamW. {segments:,} crops in
{minutes:.0f} minutes on two processor cores that other work shared.{start}
See `docs/training.md`.

Data, train splits only, {people} labelled people, some 50 without labels and
{synthetic} synthetic voices:

| set | people | licence |
|---|---|---|
| speechocean762 (Mandarin natives reading English, many of them children) | 170 | CC BY 4.0 |
| DSPSpeech-20 (Chinese and English words) | 27 | MIT |
| LibriSpeech excerpts (English audiobooks) | 251 | CC BY 4.0 |
| Picovoice wake-word and intent clips (unlabelled, distilled only) | about 50 | Apache-2.0 |
| Mimic 3 and sherpa synthetic voices, a speaker each | - | CC BY-SA 4.0, Apache-2.0 |
| ESC-10 and Blanket noise, OpenAIR and web-audio-samples rooms | - | CC BY, CC0, Apache-2.0 |

## Figures

All calls below are **simulated**; no telephone network was involved. Recordings of one person
come from one sitting, which flatters every figure: expect worse across days and devices. Three
utterances enrol, one of 1 to 4 s probes.

Development (30 people of speechocean762, also used to watch the run):

{development}

Test (50 other people of speechocean762, `speechocean762-test.csv`, seeded calls, scored once at
the end):

{test}

"All" compares women with men and children with adults as well, which is easy; "adults, same
gender" is what an impostor would be. Intervals are over random halves of the enrolled people.

## Limits

- A small model, trained for {minutes:.0f} minutes on a few hundred people; `voiceauth train` goes
  on from `models/training/{name}.npz`.
- English and Mandarin-accented speech prevail. Other languages are untested.
- Spans under two seconds, strong noise (under 6 dB) and far-field speech are weak.
- It does not tell live speech from replayed or synthetic speech; that is the liveness room's task.
- Embeddings are biometric data: they identify people and fall under the same law as a fingerprint.
"""
