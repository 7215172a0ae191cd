# SPDX-License-Identifier: Apache-2.0
"""1:N search over voiceprints: the only room that knows FAISS.

A cache that is rebuilt from the vault at every start, never the record. It proposes candidates; it
never accepts anyone, and what it proposes is scored again, 1:1, from the vault.
"""
