# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a run, written atomically, and the small weight file to start others from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from voiceauth.errors import IntegrityError
from voiceauth.training.objective import Objective
from voiceauth.training.student import Student


@dataclass
class Progress:
    """How far a run has come.

    Args:
        step: batches seen.
        segments: crops seen.
        elapsed: seconds of training over all its starts.
    """

    step: int = 0
    segments: int = 0
    elapsed: float = 0.0


def save(
    path: Path,
    student: Student,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Write everything that a run needs to go on."""
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "student": student.state_dict(),
            "objective": objective.state_dict(),
            "optimiser": optimiser.state_dict(),
            "progress": vars(progress),
        },
        temporary,
    )
    temporary.replace(path)


def resume(
    path: Path, student: Student, objective: Objective, optimiser: torch.optim.Optimizer
) -> Progress:
    """Load a checkpoint into the given parts and return how far it had come."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    student.load_state_dict(state["student"])
    objective.load_state_dict(state["objective"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def load_student(path: Path, student: Student) -> None:
    """Load only the student from a checkpoint (``.pt``) or a weight file (``.npz``).

    Raises:
        IntegrityError: the file's weights do not fit the student.
    """
    if path.suffix == ".npz":
        with np.load(path) as stored:
            state = {name: torch.from_numpy(stored[name]) for name in stored.files}
        state = {n: v.float() if v.dtype == torch.float16 else v for n, v in state.items()}
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)["student"]
    # A stem starts from its own small weights where the file has none.
    fresh = {n: v for n, v in student.state_dict().items() if n.startswith("stem.")}
    try:
        student.load_state_dict(fresh | state)
    except RuntimeError as error:
        raise IntegrityError("The weights do not fit this network.", detail=str(error)) from error


def save_weights(path: Path, student: Student) -> None:
    """Write the student's weights as half precision; later runs start from them."""
    state = {
        name: value.half().numpy() if value.is_floating_point() else value.numpy()
        for name, value in student.state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **state)
    temporary.replace(path)
