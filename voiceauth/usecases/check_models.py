# SPDX-License-Identifier: Apache-2.0
"""Say which models an installation has, and prove that each file is what its manifest says."""

from dataclasses import dataclass

from voiceauth.config import Settings
from voiceauth.models.bundle import load_bundle, spoof_card
from voiceauth.models.locate import default_model_directory
from voiceauth.models.manifest import Manifest, read_manifest
from voiceauth.scoring.scorer import CalibratedScorer
from voiceauth.types import ModelCard
from voiceauth.usecases.instruments import continuity_of, spoof_layer


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of the manifest; ``default`` is what no name in the settings means."""

    card: ModelCard
    default: bool


def list_models(settings: Settings) -> tuple[ListedModel, ...]:
    """List the models of the manifest, without touching their files.

    Raises:
        SettingsError: there is no usable manifest.
    """
    manifest = _manifest(settings)
    listed = tuple(
        ListedModel(
            ModelCard(
                role=one.role,
                name=one.name,
                sha256=one.sha256,
                licence=one.licence,
                rate_hz=one.sample_rate_hz,
                dimension=one.dimension,
            ),
            default=one.name == manifest.default,
        )
        for one in manifest.models
    )
    if manifest.spoof is None:
        return listed
    return (*listed, ListedModel(spoof_card(manifest.spoof), default=True))


def verify_models(settings: Settings) -> tuple[str, ...]:
    """Load every model with what belongs to it; return their names.

    Raises:
        ModelHashMismatchError: a file differs from the manifest, or the calibration was made with
            another model or another cohort.
        IntegrityError: a file has the stated hash and is unusable all the same.
        SettingsError: there is no usable manifest, or tables that are none.
    """
    manifest = _manifest(settings)
    for one in manifest.models:
        bundle = load_bundle(manifest.directory, one.name, device=settings.models.device)
        spoof_layer(bundle)
        continuity_of(bundle, settings)
        CalibratedScorer(bundle.calibration, bundle.cohort, bundle.speaker.model)
        if one.int8 is not None:
            load_bundle(manifest.directory, one.name, precision="int8")
    spoof = () if manifest.spoof is None else (manifest.spoof.name,)
    return (*(one.name for one in manifest.models), *spoof)


def _manifest(settings: Settings) -> Manifest:
    return read_manifest(settings.models.directory or default_model_directory())
