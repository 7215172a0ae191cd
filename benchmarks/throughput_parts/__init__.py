# SPDX-License-Identifier: Apache-2.0
"""What ``throughput.py`` and ``stages.py`` share: calls, a server under test, and its callers."""
