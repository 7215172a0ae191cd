# SPDX-License-Identifier: Apache-2.0
"""How a call is heard and decided."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from voiceauth.config.section import ErrorRate, PositiveSeconds, Section
from voiceauth.units import Seconds

CUDA_BATCH_SPANS = 32
"""Most spans in one run on a GPU, where nothing else is set."""


class ModelSettings(Section):
    """Which models run."""

    directory: Path | None = Field(
        None, description="Directory with a manifest.json; default the models in the package."
    )
    speaker: str | None = Field(
        None, description="Name of the speaker model in the manifest; default its default."
    )
    previous: str | None = Field(
        None,
        description="Name of the speaker model that voiceprints were made with before. Who has "
        "none of the new model yet is served by it, and moves with their calls.",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="Where the models run.")
    precision: Literal["fp32", "int8"] = Field(
        "fp32",
        description="Form of the speaker model. int8 is faster on processors and takes the same "
        "voiceprints; the model must have one.",
    )
    batch_spans: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Most spans of different calls that go through a model in one run; 1 runs each "
        "alone. Default 32 on cuda and 1 on cpu. Needs fp32 and a model whose graph can be "
        "rewritten for it, or the start is refused.",
    )
    batch_wait_milliseconds: float = Field(
        4.0,
        ge=0,
        le=1000,
        description="Longest time that a span waits for others to share its run while the model "
        "is idle; beside one that runs they gather anyway.",
    )

    @property
    def most_in_a_batch(self) -> int:
        """Most spans in one run, as set or by the device."""
        if self.batch_spans is not None:
            return self.batch_spans
        return CUDA_BATCH_SPANS if self.device == "cuda" else 1


class SpeechSettings(Section):
    """What counts as speech."""

    span_seconds: PositiveSeconds = Field(3.0, description="Net speech that is embedded at once.")
    least_snr_db: float = Field(
        3.0, ge=-20, le=60, description="Speech below this signal-to-noise ratio is not counted."
    )
    least_level_dbfs: float = Field(
        -55.0, ge=-90, le=0, description="Speech below this level is not counted."
    )
    most_clipped_fraction: float = Field(
        0.05, ge=0, le=1, description="Speech with more samples at the rails is not counted."
    )


class RouteSettings(Section):
    """One way to be accepted in a step-up."""

    factors: frozenset[Literal["totp", "code", "pin"]] = Field(
        min_length=1, description="Each of which has to be shown."
    )
    voice_false_match_rate: ErrorRate | None = Field(
        None,
        description="Rate that the voice has to have reached in the call; none for a way without.",
    )


def voice_and_factor(rate: float) -> tuple[RouteSettings, ...]:
    """Return the routes of the built-in policies: a voice at a rate and a factor, or two factors.

    Args:
        rate: false-match rate of the voice beside any one factor.
    """
    alone = (frozenset({"totp", "pin"}), frozenset({"code", "pin"}))
    return (
        *(
            RouteSettings(factors=frozenset({kind}), voice_false_match_rate=rate)
            for kind in ("totp", "code", "pin")
        ),
        *(RouteSettings(factors=pair) for pair in alone),
    )


class PolicySettings(Section):
    """One decision policy, in error rates and seconds."""

    target_false_match_rate: ErrorRate = Field(
        0.01, description="Largest chance of accepting a zero-effort impostor, over the whole call."
    )
    target_false_non_match_rate: ErrorRate = Field(
        0.02,
        description="Largest chance of rejecting the true speaker outright. Below what the "
        "calibration tables can support nobody is rejected: STEP_UP takes the place.",
    )
    floor_seconds: PositiveSeconds = Field(
        2.0, description="Net speech below which there is no score."
    )
    full_seconds: PositiveSeconds = Field(
        15.0, description="Net speech after which an undecided call ends in STEP_UP."
    )
    accept_on_voice_alone: bool = Field(
        default=False,
        description="Whether a match of the voice is enough for ACCEPT. False turns it into "
        "STEP_UP with the match as its reason, so that another factor decides.",
    )
    max_spoof_false_accept: ErrorRate = Field(
        0.05,
        description="Largest chance, over the whole call, of accepting an attack of a kind that a "
        "measured liveness layer was calibrated on.",
    )
    max_live_rejected: ErrorRate = Field(
        0.005,
        description="Largest chance, over the whole call, of rejecting a living caller outright "
        "because a liveness layer takes the voice for an attack. Below what the layers' "
        "calibration can support nobody is rejected: STEP_UP takes the place.",
    )
    max_live_held: ErrorRate = Field(
        0.05,
        description="Share of living callers that the layer against synthetic speech may hold back "
        "where `require_liveness` does not list it: a match whose liveness is among the lowest of "
        "that share is no match. Listed, the layer must exclude synthesis at "
        "`max_spoof_false_accept`.",
    )
    synthetic_seconds: Seconds = Field(
        6.0,
        ge=0.0,
        allow_inf_nan=False,
        description="Net speech before a voice alone is accepted (at most `full_seconds`), where "
        "the layer against synthetic speech runs and `require_liveness` does not list it: of 3 s "
        "it misses half as many copies again as of 6, and twice as many as of 9. 0 leaves it at "
        "what the layer needs.",
    )
    require_liveness: frozenset[Literal["synthetic", "replay", "challenge", "continuity"]] = Field(
        default_factory=frozenset,
        description="Layers without whose word nobody is accepted. A layer that is not listed may "
        "be absent (no model, nothing recorded before); one that runs in a call always has to "
        "speak before an ACCEPT.",
    )
    routes: tuple[RouteSettings, ...] = Field(
        default_factory=lambda: voice_and_factor(0.01),
        description="Ways to be accepted in a step-up (`docs/step-up.md`), each of them enough. "
        "One has to do without a voice. By default a voice at 1 % with any one factor, or a TOTP "
        "or one-time code with a PIN. An empty list leaves step-ups to others.",
    )


class EnrolmentSettings(Section):
    """How much and how good speech makes a voiceprint."""

    needed_seconds: PositiveSeconds = Field(20.0, description="Net speech in a voiceprint.")
    max_voiceprints: int = Field(
        5, ge=1, le=50, description="Voiceprints kept per subject; the oldest makes room."
    )
    purpose: str = Field(
        "authentication", min_length=1, description="Consent purpose that permits enrolment."
    )
    coherence_false_non_match_rate: ErrorRate = Field(
        0.1,
        description="A segment that the speaker of the others would only produce this rarely is "
        "not counted.",
    )
    duplicate_false_match_rate: ErrorRate = Field(
        0.01,
        description="Another subject's voiceprint is reported as a duplicate when an impostor "
        "would reach its score only this rarely, over the whole search.",
    )
    max_spoof_false_accept: ErrorRate = Field(
        0.05,
        description="With `require_synthetic`, the speech of an enrolment call must exclude "
        "synthesis at this rate.",
    )
    max_live_held: ErrorRate = Field(
        0.05,
        description="Where a spoof model runs: nothing of an enrolment call is stored if its "
        "liveness is among the lowest of this share of living callers, and a segment that is so "
        "low by itself is not counted.",
    )
    require_synthetic: bool = Field(
        default=False,
        description="Whether synthesis must be excluded at `max_spoof_false_accept` before "
        "anything of an enrolment call is stored; the server does not start without a spoof model.",
    )
    watchlists: tuple[str, ...] = Field(
        (),
        description="Groups whose voices are not enrolled under another subject; the result says "
        "WATCHLISTED, without a name.",
    )


class ChallengeSettings(Section):
    """Words that a caller has to say, once."""

    enabled: bool = Field(default=True, description="Serve CreateChallenge.")
    digits: int = Field(6, ge=4, le=10, description="Length of a digit string.")
    phrase_words: int = Field(4, ge=2, le=8, description="Words of a phrase.")
    expires_seconds: PositiveSeconds = Field(
        120.0, description="From making a challenge to the end of its prompt."
    )
    start_within_seconds: PositiveSeconds = Field(
        5.0, description="From the end of the prompt to the answer, in seconds of audio."
    )
    attempts: int = Field(3, ge=1, le=10, description="Challenges per call.")
    voice_false_non_match_rate: ErrorRate = Field(
        0.02,
        description="An answer that the subject's own voice would score as low as this rarely "
        "fails the challenge.",
    )
    recogniser: Literal["auto", "pocketsphinx", "off"] = Field(
        "auto",
        description="Recogniser of the server: auto takes PocketSphinx (English) where the extra "
        "`challenge` is installed, and otherwise only results that clients send.",
    )
    accept_client_recognition: bool = Field(
        default=True,
        description="Let a client send what its own recogniser heard; marked so in the evidence.",
    )


class LivenessSettings(Section):
    """Which liveness layers run; what they may decide is a policy's matter."""

    synthetic: Literal["auto", "off"] = Field(
        "auto", description="Look for synthetic speech where the model directory has a spoof model."
    )
    continuity: Literal["auto", "off"] = Field(
        "auto",
        description="Watch that one person speaks throughout, where the speaker model has a "
        "calibration for it.",
    )
    replay: bool = Field(
        default=True,
        description="Remember keyed fingerprints of enrolled and accepted calls, and look for "
        "them in every call.",
    )
    replay_retention_days: float = Field(
        180.0,
        gt=0,
        le=3650,
        description="After that a call is forgotten, and its replay not found.",
    )
    replay_recordings: int = Field(
        12, ge=1, le=100, description="Calls remembered per subject; the oldest makes room."
    )
    replay_recording_seconds: float = Field(
        30.0, ge=5, le=120, description="Remembered of one call, from its first speech."
    )
