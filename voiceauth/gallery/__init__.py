# SPDX-License-Identifier: Apache-2.0
"""1:N search over voiceprints: the only room that knows FAISS.

A cache that is rebuilt from the vault at every start, never the record. It proposes candidates; it
never accepts anyone, and what it proposes is scored again, 1:1, from the vault.

``faiss_gallery`` is the port's implementation, ``voices`` one tenant's part of it, ``rows`` its
exact vectors, ``lists`` the inverted lists that large tenants are searched with, ``plan`` the rule
that says when, and ``building`` how they are built beside running searches.
"""
