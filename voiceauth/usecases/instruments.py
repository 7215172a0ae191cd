# SPDX-License-Identifier: Apache-2.0
"""The measuring part of an engine without its records: models, calibration, options of hearing."""

from dataclasses import dataclass, replace

from voiceauth.config import Settings
from voiceauth.errors import ModelHashMismatchError
from voiceauth.liveness.continuity import ContinuityCalibration, parse_continuity
from voiceauth.liveness.synthetic import parse_calibration
from voiceauth.models.batching import BatchingSpoof, ResampledBatchingSpoof
from voiceauth.models.bundle import ModelBundle, load_bundle
from voiceauth.models.spoof import ResampledSpoof
from voiceauth.ports import Scorer, SpeakerEmbedder
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.signal.net_speech import SpeechOptions
from voiceauth.types import ModelCard
from voiceauth.units import Hertz
from voiceauth.usecases.engine import SpoofLayer


@dataclass(frozen=True, slots=True, eq=False)
class Instruments:
    """What turns recordings into evidence, as the settings choose it."""

    embedder: SpeakerEmbedder
    scorer: Scorer
    speech: SpeechOptions
    models: tuple[ModelCard, ...]
    spoof: SpoofLayer | None = None


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
        synthetic=settings.liveness.synthetic == "auto",
    )
    return Instruments(
        embedder=bundle.speaker,
        scorer=CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model),
        speech=speech_options(settings, bundle.speaker.rate_hz),
        models=bundle.cards,
        spoof=spoof_layer(bundle),
    )


def spoof_layer(bundle: ModelBundle) -> SpoofLayer | None:
    """Put the spoof model and its calibration together; None without one.

    Raises:
        IntegrityError: the calibration cannot be read.
        ModelHashMismatchError: it was fitted to another model.
    """
    if bundle.spoof is None:
        return None
    detector, calibration = bundle.spoof.detector, parse_calibration(bundle.spoof.calibration)
    if calibration.model != detector.model:
        raise ModelHashMismatchError(detail="the spoof calibration was fitted to another model")
    if detector.rate_hz == bundle.speaker.rate_hz:
        return SpoofLayer(detector, calibration)
    # It gets the speaker model's spans.
    if isinstance(detector, BatchingSpoof):
        return SpoofLayer(ResampledBatchingSpoof(detector, bundle.speaker.rate_hz), calibration)
    return SpoofLayer(ResampledSpoof(detector, bundle.speaker.rate_hz), calibration)


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


def continuity_of(bundle: ModelBundle, settings: Settings) -> ContinuityCalibration | None:
    """Read how the model tells a hand-over; None where that was not fitted or is not wanted.

    Raises:
        IntegrityError: the calibration cannot be read.
        ModelHashMismatchError: it was fitted to another model.
    """
    if bundle.continuity is None or settings.liveness.continuity == "off":
        return None
    found = parse_continuity(bundle.continuity)
    if found.model != bundle.speaker.model:
        raise ModelHashMismatchError(detail="the continuity calibration has another model")
    return found


def previous_continuity(bundle: ModelBundle, *, wanted: bool) -> ContinuityCalibration | None:
    """Likewise for a model that serves beside the one of the settings."""
    if bundle.continuity is None or not wanted:
        return None
    found = parse_continuity(bundle.continuity)
    if found.model != bundle.speaker.model:
        raise ModelHashMismatchError(detail="the continuity calibration has another model")
    return found
