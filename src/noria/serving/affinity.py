"""A worker on a processor of its own, where there are as many workers as processors."""

from __future__ import annotations

import os
from contextlib import suppress


def stay_on(number: int, workers: int) -> None:
    """Keep the calling thread, and the threads that it starts from now on, on one processor.

    Left alone, Linux puts two workers on one processor now and then, or the event loop behind a worker while the
    other processor waits for Python's lock, which the event loop holds. With fewer workers than processors, or more,
    and on systems that know no affinity, nothing is done.

    Args:
        number: of this worker, from 0 on.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    processors = sorted(os.sched_getaffinity(0))
    if 1 < workers == len(processors):
        with suppress(OSError):  # a processor that was taken away in this moment
            os.sched_setaffinity(0, {processors[number]})
