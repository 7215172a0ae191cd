# SPDX-License-Identifier: Apache-2.0
"""Which index a tenant is searched with: a rule by size, and nothing to set.

* Up to 100,000 voiceprints every one is compared. That takes some milliseconds and misses nobody.
* Beyond, inverted lists of 8-bit codes propose, and the exact vectors decide. The number of lists
  is the power of two at or above the square root of the count times 2.8, so that lists stay a few
  hundred voiceprints long. A search looks into an eighth of them.
* Lists are built anew when a tenant has grown to four times, or shrunk to a quarter, of what they
  were built for; below half of 100,000 they are dropped.

Graphs (HNSW) are as fast, and are not used: FAISS cannot take a vector out of one, and an erased
person must be gone. Product quantisation saves memory beside exact vectors that are kept anyway.
``docs/performance.md`` has the figures, ``benchmarks/gallery.py`` makes them.
"""

import math
from dataclasses import dataclass
from typing import Final

EXACT_LIMIT: Final = 100_000
"""Most voiceprints that are all compared."""
PROBED_SHARE: Final = 1 / 8
"""Share of the lists that a search looks into: with 64 of 4096, one stranger in 13 was missed."""
GROWTH: Final = 4
"""Change of size, either way, after which lists are built anew."""
_LISTS_PER_ROOT: Final = 2.8


@dataclass(frozen=True, slots=True)
class ListPlan:
    """Shape of inverted lists.

    Attributes:
        lists: how many there are.
        probes: how many of them a search looks into.
        built_for: voiceprints when they were planned.
    """

    lists: int
    probes: int
    built_for: int


@dataclass(frozen=True, slots=True)
class PlanRule:
    """The rule's sizes; other than the defaults only in tests and benchmarks.

    Attributes:
        exact_limit: most voiceprints that are all compared.
        probed_share: share of the lists that a search looks into.
    """

    exact_limit: int = EXACT_LIMIT
    probed_share: float = PROBED_SHARE

    def plan(self, voiceprints: int) -> ListPlan | None:
        """Return the lists for a count of voiceprints; None where all are compared."""
        if voiceprints <= self.exact_limit:
            return None
        lists = 2 ** math.ceil(math.log2(_LISTS_PER_ROOT * math.sqrt(voiceprints)))
        return ListPlan(lists, math.ceil(self.probed_share * lists), voiceprints)

    def outgrown(self, built: ListPlan | None, voiceprints: int) -> bool:
        """Return whether what a tenant is searched with no longer suits its size."""
        if built is None:
            return voiceprints > self.exact_limit
        if voiceprints <= self.exact_limit // 2:
            return True
        return not built.built_for // GROWTH < voiceprints < built.built_for * GROWTH
