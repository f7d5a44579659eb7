"""Globals of the process, changed for the length of a ``with`` block and then put back.

What one function leaves behind, the next one computes with: on another number of
threads a network's answer differs in the last digits, and a seed that is left set
makes later draws depend on what ran before. Nothing in this package leaves such a
global changed, except :meth:`mchelpers.run.Run.begin`, which is there to set them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seeded", "threads"]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on so many CPU threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's global random numbers, initial weights above all, from a seed."""
    import torch

    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield
