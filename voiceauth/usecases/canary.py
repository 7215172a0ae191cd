# SPDX-License-Identifier: Apache-2.0
"""A known voice in the record, by which a drill sees that a restored vault can still tell voices.

Nobody's voice: two made-up sounds, the same ones at every rate and in every version. One stands in
the vault, sealed like a person's, in the installation's own nameless tenant, which no request can
name. A restored copy must give back a voiceprint that the loaded model finds alike to that sound,
and less alike to the other.
"""

from dataclasses import dataclass

import numpy as np

from voiceauth.errors import IntegrityError
from voiceauth.ports import Clock, Random, Scorer, SpeakerEmbedder
from voiceauth.types import (
    Bandwidth,
    ModelHash,
    Samples,
    SubjectId,
    TenantId,
    Voiceprint,
    VoiceprintId,
)
from voiceauth.units import Hertz, Llr, Seconds
from voiceauth.vault.store import SqliteVault
from voiceauth.vault.transaction import SqliteTransaction

TENANT, SUBJECT = TenantId(""), SubjectId("canary")
_SECONDS: Seconds = 6.0
_STATED_SECONDS: Seconds = 15.0
"""Speech that a score is asked for: inside what every calibration supports."""
_STATED_SNR_DB = 25.0
_OWN, _OTHER = (112.0, (650.0, 1100.0, 2500.0)), (215.0, (420.0, 1900.0, 2900.0))
_SYLLABLES_HZ = 3.5


@dataclass(frozen=True, slots=True)
class Hearing:
    """What turns the sounds into evidence: a model, and what its scores mean."""

    embedder: SpeakerEmbedder
    scorer: Scorer


def keep_canary(
    vault: SqliteVault, embedder: SpeakerEmbedder, *, clock: Clock, random: Random
) -> bool:
    """See to it that the vault holds the known voice of a model; say if it had to be stored.

    Raises:
        StorageError: the vault cannot be written.
    """
    with vault.read() as view:
        if view.voiceprints(TENANT, SUBJECT, embedder.model):
            return False
    voice = embedder.embed(_sound(embedder.rate_hz, *_OWN))
    with vault.begin() as change:
        if change.subject(TENANT, SUBJECT) is None:
            change.create_subject(TENANT, SUBJECT, at=clock.now(), groups=frozenset())
        change.add_voiceprint(
            TENANT,
            Voiceprint(
                voiceprint=VoiceprintId(random.token(16).hex()),
                subject=SUBJECT,
                model=embedder.model,
                embedding=voice,
                net_seconds=_STATED_SECONDS,
                created_at=clock.now(),
            ),
        )
    return True


def canary_models(view: SqliteTransaction, models: tuple[ModelHash, ...]) -> tuple[ModelHash, ...]:
    """Return those of the models that the vault holds a known voice of."""
    return tuple(one for one in models if view.voiceprints(TENANT, SUBJECT, one))


def known_llr(vault: SqliteVault, hearing: Hearing) -> Llr:
    """Return the ratio of the stored voice against the sound that it was made of.

    Raises:
        IntegrityError: it is not there, or is not alike: this vault must not decide about anybody.
    """
    embedder = hearing.embedder
    with vault.read() as view:
        found = view.voiceprints(TENANT, SUBJECT, embedder.model)
    if not found:
        raise IntegrityError("The vault holds no known voice of this model.")
    own, other = (
        hearing.scorer.score(
            embedder.embed(_sound(embedder.rate_hz, *voice)),
            found[-1].embedding,
            net_seconds=_STATED_SECONDS,
            bandwidth=Bandwidth.NARROWBAND,
            enrolled_seconds=_STATED_SECONDS,
            snr_db=_STATED_SNR_DB,
        )
        for voice in (_OWN, _OTHER)
    )
    if own.llr is None or own.llr <= 0 or own.raw <= other.raw:
        raise IntegrityError(
            "The known voice does not sound like itself.",
            detail=f"ratio {own.llr}, raw {own.raw:.3f} against {other.raw:.3f}",
        )
    return own.llr


def _sound(rate_hz: Hertz, pitch_hz: float, formants_hz: tuple[float, ...]) -> Samples:
    """Return harmonics of a gliding pitch under three resonances, float32, shape (samples,)."""
    time = np.arange(round(_SECONDS * rate_hz)) / rate_hz
    glide = pitch_hz * (1 + 0.08 * np.sin(2 * np.pi * 0.6 * time))
    phase = 2 * np.pi * np.cumsum(glide) / rate_hz
    highest_hz = min(3600.0, 0.45 * rate_hz)  # the same below any rate of telephony
    sound = np.zeros(len(time))
    for harmonic in range(1, int(highest_hz / (1.1 * pitch_hz)) + 1):
        place_hz = harmonic * pitch_hz
        gain = sum(1 / (1 + ((place_hz - one) / 90.0) ** 2) for one in formants_hz)
        sound += (gain + 0.02) * np.sin(harmonic * phase)
    loudness = np.clip(0.6 + 0.6 * np.sin(2 * np.pi * _SYLLABLES_HZ * time), 0.02, 1)
    sound *= loudness
    return np.asarray(0.3 * sound / np.max(np.abs(sound)), dtype=np.float32)
