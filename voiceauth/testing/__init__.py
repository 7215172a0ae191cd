# SPDX-License-Identifier: Apache-2.0
"""Test doubles and simulators that ship with the engine, for users' tests too."""
