# SPDX-License-Identifier: Apache-2.0
"""What the engine does for somebody: one file is one sentence a manager would say.

Use cases speak to the protocols of ``voiceauth.ports`` and to the pure rooms. They are synchronous
and hold no thread: the service decides where they run.
"""
