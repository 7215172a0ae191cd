# SPDX-License-Identifier: Apache-2.0
"""What processes that train one network tell each other: gradients, and whose clock counts."""

from pathlib import Path

import torch

from voiceauth.units import Seconds


def meet(place: Path, rank: int, processes: int) -> None:
    """Wait until all processes are there.

    Args:
        place: a file that they know each other by, not there yet.
        rank: of this process, 0 to processes - 1.
        processes: in all.
    """
    torch.distributed.init_process_group(
        "gloo", init_method=place.resolve().as_uri(), rank=rank, world_size=processes
    )


def average(parameters: list[torch.nn.Parameter], processes: int) -> None:
    """Replace every gradient by its mean over the processes, in one exchange."""
    gradients = [one.grad for one in parameters if one.grad is not None]
    flat = torch.cat([one.reshape(-1) for one in gradients])
    torch.distributed.all_reduce(flat)
    flat /= processes
    place = 0
    for one in gradients:
        one.copy_(flat[place : place + one.numel()].view_as(one))
        place += one.numel()


def common(seconds: Seconds, processes: int) -> Seconds:
    """Return the clock of the first process to everybody: rate and end must not differ."""
    if processes == 1:
        return seconds
    clock = torch.tensor([seconds], dtype=torch.float64)
    torch.distributed.broadcast(clock, 0)
    return float(clock)
