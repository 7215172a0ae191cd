# SPDX-License-Identifier: Apache-2.0
"""The seams of the engine: protocols between the use cases and the rooms that touch the world.

Rules:

* Use cases speak to these protocols only; rooms implement them.
* Time and randomness enter through ``Clock`` and ``Random``, nowhere else.
* A ``Transaction`` groups an effect with its ledger entry: both are durable, or neither is.
"""

from voiceauth.ports.alerts import AlertSink, AlertTransaction, AlertVault, VoiceMemory
from voiceauth.ports.gallery import Gallery, StagedGallery
from voiceauth.ports.keys import KeyService, ManagedKeys, WrappedKey
from voiceauth.ports.models import (
    BatchDetector,
    BatchEmbedder,
    Recognizer,
    Scorer,
    SpeakerEmbedder,
    SpoofDetector,
)
from voiceauth.ports.stores import (
    ApprovalStore,
    AttemptStore,
    CodeDelivery,
    ReplayStore,
    StepUpStore,
)
from voiceauth.ports.vault import LedgerStore, Transaction, Vault, VoiceTransform
from voiceauth.ports.world import Clock, Random

__all__ = [
    "AlertSink",
    "AlertTransaction",
    "AlertVault",
    "ApprovalStore",
    "AttemptStore",
    "BatchDetector",
    "BatchEmbedder",
    "Clock",
    "CodeDelivery",
    "Gallery",
    "KeyService",
    "LedgerStore",
    "ManagedKeys",
    "Random",
    "Recognizer",
    "ReplayStore",
    "Scorer",
    "SpeakerEmbedder",
    "SpoofDetector",
    "StagedGallery",
    "StepUpStore",
    "Transaction",
    "Vault",
    "VoiceMemory",
    "VoiceTransform",
    "WrappedKey",
]
