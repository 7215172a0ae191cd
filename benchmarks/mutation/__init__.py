# SPDX-License-Identifier: Apache-2.0
"""Mutants: small faults put into a room one at a time, to see whether its tests find them."""
