# SPDX-License-Identifier: Apache-2.0
"""From calibrated scores to one of four answers: a pure state machine, without I/O or clock.

Rules:

* A policy is written in error rates; no similarity threshold exists here.
* ACCEPT needs an implied false-match rate at or below the target of the current look. The targets
  of all looks together never exceed the policy's rate, so looking often does not make it wrong.
* ACCEPT also needs every liveness layer that has to speak to exclude its attack at the policy's
  rate.
* Whatever is missing (no calibration support, a fault, an unknown subject) ends in STEP_UP or
  REJECT, never in ACCEPT.
"""
