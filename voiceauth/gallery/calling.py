# SPDX-License-Identifier: Apache-2.0
"""Calls into FAISS: on one thread, and failing with errors of the engine."""

from collections.abc import Callable
from typing import Any

import faiss

from voiceauth.errors import InternalError

library: Any = faiss
"""FAISS without its type stubs, which lack a good part of it."""


def call(method: Callable[..., Any], *arguments: object, **options: object) -> Any:
    """Call into FAISS, which raises RuntimeError from C++ and assertions from its wrapper.

    OpenMP keeps its number of threads per calling thread, hence the setting at every call: a search
    that spreads over all cores would only make other calls wait.

    Raises:
        InternalError: FAISS failed.
    """
    try:
        faiss.omp_set_num_threads(1)
        return method(*arguments, **options)
    except (RuntimeError, AssertionError, TypeError, ValueError, MemoryError) as error:
        raise InternalError(detail=f"gallery: {error!r}") from error
