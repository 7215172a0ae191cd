# SPDX-License-Identifier: Apache-2.0
"""The measuring part of an engine without its records: models, calibration, options of hearing."""

from dataclasses import dataclass, replace

from voiceauth.config import Settings
from voiceauth.models.bundle import load_bundle
from voiceauth.ports import Scorer, SpeakerEmbedder
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.types import ModelCard
from voiceauth.units import Hertz


@dataclass(frozen=True, slots=True, eq=False)
class Instruments:
    """What turns recordings into evidence, as the settings choose it."""

    embedder: SpeakerEmbedder
    scorer: Scorer
    speech: SpeechOptions
    models: tuple[ModelCard, ...]


def open_instruments(settings: Settings) -> Instruments:
    """Load the models of the settings, every hash checked, without touching vault or keys.

    Raises:
        SettingsError: there are no usable models.
        ModelHashMismatchError: a model file differs from its manifest.
        IntegrityError: a file has the stated hash and is unusable all the same.
    """
    bundle = load_bundle(
        settings.models.directory,
        settings.models.speaker,
        device=settings.models.device,
        precision=settings.models.precision,
    )
    return Instruments(
        embedder=bundle.speaker,
        scorer=CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model),
        speech=speech_options(settings, bundle.speaker.rate_hz),
        models=bundle.cards,
    )


def speech_options(settings: Settings, rate_hz: Hertz) -> SpeechOptions:
    """Map the settings' ``[speech]`` onto the signal room's options, at the model's rate."""
    speech = settings.speech
    return replace(
        SpeechOptions(),
        rate_hz=rate_hz,
        span_seconds=speech.span_seconds,
        least_snr_db=speech.least_snr_db,
        least_level_dbfs=speech.least_level_dbfs,
        most_clipped_fraction=speech.most_clipped_fraction,
    )
