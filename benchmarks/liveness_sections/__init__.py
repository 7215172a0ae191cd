# SPDX-License-Identifier: Apache-2.0
"""Sections of ``benchmarks/liveness.py`` and what they share."""

from dataclasses import dataclass
from pathlib import Path

SECTIONS = ("synthetic", "replay", "challenge", "continuity", "loudspeaker", "system")


@dataclass(frozen=True)
class Plan:
    """What a section is asked for.

    Args:
        data: root of the speech pack.
        out: folder of results; sections may keep caches in folders of their own in it.
        section: its name.
        models: model directory; None means the packaged one.
        quick: a tenth of the trials.
        seed: of everything random.
    """

    data: Path
    out: Path
    section: str
    models: Path | None = None
    quick: bool = False
    seed: int = 1

    @property
    def plot(self) -> Path:
        """File that the section may draw its plot into."""
        return self.out / f"liveness-{self.section}.png"

    @property
    def cache(self) -> Path:
        """Folder that the section may keep decoded or simulated audio in."""
        folder = self.out / "cache"
        folder.mkdir(parents=True, exist_ok=True)
        return folder
