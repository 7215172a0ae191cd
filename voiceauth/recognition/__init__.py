# SPDX-License-Identifier: Apache-2.0
"""Recognisers behind ``ports.Recognizer``: the only room that knows PocketSphinx.

They answer one question, whether asked words were said, and transcribe nothing else. English only.
"""
