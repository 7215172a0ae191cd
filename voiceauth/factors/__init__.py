# SPDX-License-Identifier: Apache-2.0
"""What a STEP_UP asks for: time-based codes, one-time codes and PINs.

This room checks what was shown against what was enrolled. It keeps nothing, counts nothing and
decides nothing: limits stand in ``decision.lockout``, combinations in ``decision.step_up``.
Time and chance are handed in.
"""
