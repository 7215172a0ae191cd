# SPDX-License-Identifier: Apache-2.0
"""What can this machine carry? Parts of the engine measured here, and an estimate made of them.

Everything is processor time of the thread that works: what else runs on the machine slows the
clock, and not these figures, or little.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from voiceauth.config import Settings
from voiceauth.errors import SettingsError
from voiceauth.gallery.faiss_gallery import FaissGallery
from voiceauth.models.bundle import load_bundle
from voiceauth.models.speaker import trial_waveform
from voiceauth.types import SubjectId, TenantId, VoiceprintId
from voiceauth.units import Seconds

SPAN_SECONDS: Seconds = 3.0
HEADROOM = 0.7
"""Share of a core that calls may fill, so that spans that come together do not wait long."""
DIMENSION = 192
_WARM_UP = 3
_SEED = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of one piece of work, in milliseconds."""

    median_ms: float
    high_ms: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many live calls fit.

    Attributes:
        processor_seconds: of one second of one call's audio.
        calls_per_core: at ``HEADROOM``.
        cores: that this process may use.
        calls: on all of them, if nothing else runs here.
    """

    processor_seconds: Seconds
    calls_per_core: int
    cores: int
    calls: int


def model_costs(settings: Settings, repeats: int) -> Mapping[str, Cost]:
    """Measure a span of three seconds through each form of the settings' speaker model.

    Raises:
        SettingsError: the model cannot be used in any form.
    """
    costs: dict[str, Cost] = {}
    for form in ("fp32", "int8"):
        try:
            speaker = load_bundle(
                settings.models.directory,
                settings.models.speaker,
                precision="int8" if form == "int8" else "fp32",
                synthetic=False,
            ).speaker
        except SettingsError:
            if form == "fp32":
                raise
            continue  # a model without that form
        span = trial_waveform(round(SPAN_SECONDS * speaker.rate_hz))
        costs[form] = _cost(lambda one=speaker, heard=span: one.embed(heard), repeats)  # type: ignore[misc]
    return costs


def search_cost(voiceprints: int, repeats: int) -> Cost:
    """Measure a 1:N search that compares all of so many made-up voiceprints."""
    rng, tenant = np.random.default_rng(_SEED), TenantId("bench")
    rows = rng.standard_normal((voiceprints, DIMENSION), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery = FaissGallery(DIMENSION)
    for number, row in enumerate(rows):
        gallery.add(tenant, SubjectId(f"s{number}"), VoiceprintId(f"v{number}"), row, frozenset())
    return _cost(lambda: gallery.search(tenant, rows[0], group=None, limit=15), repeats)


def capacity(processor_seconds: Seconds, cores: int) -> Capacity:
    """Estimate how many calls fit, from the cost of one second of one."""
    per_core = int(HEADROOM / processor_seconds)
    return Capacity(processor_seconds, per_core, cores, per_core * cores)


def _cost(work: Callable[[], object], repeats: int) -> Cost:
    times = []
    for repeat in range(_WARM_UP + repeats):
        began = time.thread_time()
        work()
        if repeat >= _WARM_UP:
            times.append(time.thread_time() - began)
    middle, high = 1000.0 * np.quantile(times, [0.5, 0.99])
    return Cost(round(float(middle), 3), round(float(high), 3))
