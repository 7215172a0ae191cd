# SPDX-License-Identifier: Apache-2.0
"""Is the voice live: pure rules over what models and recognisers measured.

Layers: synthetic speech, replay of an earlier call, a spoken challenge, the same voice throughout.
A layer that measured nothing says so; it never counts as passed.
"""
