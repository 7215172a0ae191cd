# SPDX-License-Identifier: Apache-2.0
"""Bytes in, net speech out: decoding, resampling, voice activity, quality, spans.

This room knows nothing of speakers, models or decisions. It does not read files or containers:
it takes raw G.711 or PCM bytes, or samples that somebody else decoded.

Rules:

* Work is done in blocks of fixed length that are aligned to the stream, so the same bytes give the
  same spans however they were split.
* Memory is bounded and the cost of a second of audio is the same at any point of a call.
* Doubtful audio is not counted; nothing here ever repairs it silently.
"""
