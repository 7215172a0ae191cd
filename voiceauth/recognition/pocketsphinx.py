# SPDX-License-Identifier: Apache-2.0
"""Whether asked words were said, by the likelihood of the asked string against the best other one.

The answer is decoded twice: with a grammar of as many words as were asked, any of the vocabulary
at each place, and with the asked words alone. By how much the second is less likely, in nats, is
the deficit: small if the asked words were said, growing with every word that was not. A line
turns it into a log-likelihood ratio. Its two numbers were set on synthetic voices through simulated
telephone channels (docs/liveness.md), not on callers.

Rules:

* All phone models are scored at every frame, so that the two decodings can be compared.
* The library holds the interpreter's lock: cepstra go to it in pieces, so that calls go on.
* One decoder, one answer at a time; others wait.
"""

import math
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import soxr
from numpy.typing import NDArray

from voiceauth.errors import MissingExtraError, RecognitionError
from voiceauth.recognition.cepstra import RATE_HZ, cepstra
from voiceauth.types import Recognition, Samples
from voiceauth.units import Hertz, Llr

_PIECE: Final = 5
"""Frames per call of the library: some milliseconds of work."""
_SHIFT: Final = 1024.0
"""The library scales log-likelihoods down by this."""
_MOST_LLR: Final[Llr] = 15.0
_DITHER: Final = 1e-4
_WORST: Final = 1e5
"""Deficit of a string that cannot be aligned at all."""
_BEAM: Final = 1e-160
"""Wide: the library's own beams lose the only path of a short grammar on telephone audio."""
EVEN_DEFICIT: Final = 250.0
"""Nats at which the asked words are as likely said as not."""
LLR_PER_NAT: Final = 0.03
"""LLR that one nat of deficit costs."""


class PocketSphinxRecognizer:
    """``ports.Recognizer`` over PocketSphinx and the US English model in its wheel.

    Raises:
        MissingExtraError: the extra ``challenge`` is not installed.
        RecognitionError: its model cannot be loaded.
    """

    def __init__(self) -> None:
        try:
            import pocketsphinx  # noqa: PLC0415 - an optional extra
        except ImportError as error:
            raise MissingExtraError("pocketsphinx", "challenge") from error
        self._library: Any = pocketsphinx
        self._lock = threading.Lock()
        self._decoder: Any = None
        self._known: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Library and version."""
        return f"pocketsphinx-{version('pocketsphinx')}"

    def recognise(
        self, samples: Samples, rate_hz: Hertz, expected: Sequence[str], vocabulary: Sequence[str]
    ) -> Recognition:
        """Recognise one answer. Raises RecognitionError if nothing could be decoded."""
        upsampled = np.asarray(soxr.resample(samples, rate_hz, RATE_HZ), dtype=np.float32)
        noise = np.random.default_rng(0).normal(0.0, _DITHER, len(upsampled))
        features = cepstra(upsampled + noise.astype(np.float32))
        if not len(features):
            raise RecognitionError(detail="no audio")
        with self._lock:
            try:
                self._prepare(frozenset(vocabulary) | frozenset(expected))
                tokens, best = self._decode(features, [tuple(vocabulary)] * len(expected))
                _, asked = self._decode(features, [(word,) for word in expected])
                if not tokens:
                    raise RecognitionError(detail="no path through the answer")
                if tokens != tuple(expected):
                    best = max(best, self._decode(features, [(word,) for word in tokens])[1])
            except (RuntimeError, ValueError, OSError) as error:
                raise RecognitionError(detail=f"{type(error).__name__}: {error}") from error
        deficit = max(0.0, max(best, asked) - asked)
        return Recognition(tokens, llr_of(deficit))

    def _prepare(self, words: frozenset[str]) -> None:
        """Load the decoder for a set of words, unless it has them."""
        if self._decoder is not None and words <= self._known:
            return
        root = Path(self._library.get_model_path()) / "en-us"
        needed = words | self._known
        lines = (root / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines()
        wanted = [line for line in lines if line.split(" ", 1)[0].split("(")[0] in needed]
        found = {line.split(" ", 1)[0] for line in wanted}
        if not needed <= found:
            raise ValueError(f"unknown words: {sorted(needed - found)}")
        with tempfile.TemporaryDirectory() as folder:
            dictionary = Path(folder) / "words.dict"
            dictionary.write_text("\n".join(wanted) + "\n", encoding="utf-8")
            self._decoder = self._library.Decoder(
                hmm=str(root / "en-us"),
                dict=str(dictionary),
                lm=None,
                cmn="none",
                lw=1.0,
                silprob=0.1,
                bestpath=False,
                compallsen=True,
                beam=_BEAM,
                pbeam=_BEAM,
                wbeam=_BEAM,
                loglevel="FATAL",
            )
        self._known = needed

    def _decode(
        self, features: NDArray[np.float32], places: Sequence[tuple[str, ...]]
    ) -> tuple[tuple[str, ...], float]:
        """Return the best words of a grammar with one slot per place, and their log-likelihood."""
        decoder = self._decoder
        steps = [
            (place, place + 1, 1.0 / 11.0, word)
            for place, words in enumerate(places)
            for word in words
        ]
        decoder.add_fsg("places", decoder.create_fsg("places", 0, len(places), steps))
        decoder.activate_search("places")
        decoder.start_utt()
        for start in range(0, len(features), _PIECE):
            decoder.process_cep(features[start : start + _PIECE].tobytes())
        decoder.end_utt()
        found = decoder.hyp()
        if found is None or found.score <= 0.0:
            return (), -_WORST
        return tuple(found.hypstr.split()), math.log(found.score) * _SHIFT


def llr_of(deficit: float) -> Llr:
    """Return the LLR of a deficit in nats."""
    llr = LLR_PER_NAT * (EVEN_DEFICIT - deficit)
    return max(-_MOST_LLR, min(_MOST_LLR, llr))
