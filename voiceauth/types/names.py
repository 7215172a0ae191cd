# SPDX-License-Identifier: Apache-2.0
"""Names of what is kept, and the two arrays that everything is about."""

from typing import NewType

import numpy as np
from numpy.typing import NDArray

TenantId = NewType("TenantId", str)
SubjectId = NewType("SubjectId", str)
CallId = NewType("CallId", str)
VoiceprintId = NewType("VoiceprintId", str)
ChallengeId = NewType("ChallengeId", str)
AlertId = NewType("AlertId", str)
ModelHash = NewType("ModelHash", str)
"""SHA-256 of the model file, lower-case hex: voiceprints of different hashes are never compared."""
KeyId = NewType("KeyId", str)
GroupName = NewType("GroupName", str)
Samples = NDArray[np.float32]
"""Mono audio, shape (samples,), nominal range -1 to 1."""
Embedding = NDArray[np.float32]
"""Speaker embedding, shape (dimension,), Euclidean norm 1 within 1e-4."""
