"""Who waits for whom before several machines begin: all of them for the chief, and the chief for all.

TensorFlow waits in native code, where Ctrl-C is not heard and nobody is told who is missing. So the workers come to the
chief's address first, each with its number; once all are there, they are let go, and the address is free.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from noria.errors import NoriaError

WAIT = 600.0  # seconds, in which the engine of a cluster starts all of them
PAUSE = 0.2
PATIENCE = 5.0  # seconds in which who has come says its number
_COME, _GO = b"noria worker ", b"go\n"


def gather(addresses: Sequence[str], rank: int, *, wait: float = WAIT) -> None:
    """Return once all workers have come.

    Args:
        addresses: host:port of each, the chief's first.
        rank: of this one; 0 is the chief.

    Raises:
        NoriaError: some did not come in time, or this one's address is taken.
    """
    until = time.monotonic() + wait
    if rank == 0:
        _lead(addresses, until, wait)
    else:
        with _door(addresses[rank]):
            pass  # the address is free, which TensorFlow would tell less clearly
        _come(addresses[0], rank, until, wait)


def _lead(addresses: Sequence[str], until: float, wait: float) -> None:
    missing = set(range(1, len(addresses)))
    with _door(addresses[0]) as door, ExitStack() as stack:
        door.settimeout(PAUSE)
        there: dict[int, socket.socket] = {}
        while missing:
            if time.monotonic() > until:
                names = ", ".join(f"worker {rank + 1} ({addresses[rank]})" for rank in sorted(missing))
                raise NoriaError(
                    f"{names} did not come within {wait:.0f} s. Start all workers with the same TF_CONFIG."
                )
            with suppress(TimeoutError):
                caller, _ = door.accept()
                stack.enter_context(caller)
                rank = _number(caller)
                if rank is not None and 1 <= rank < len(addresses):
                    missing.discard(rank)
                    there[rank] = caller  # the last one, where it has come twice
        for caller in there.values():
            with suppress(OSError):  # who is gone again is missed by TensorFlow
                caller.sendall(_GO)
                caller.recv(1)  # they close first, so that the address is free at once


def _come(chief: str, rank: int, until: float, wait: float) -> None:
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(_place(chief), timeout=PATIENCE) as caller:
            caller.sendall(_COME + b"%d\n" % rank)
            caller.settimeout(PAUSE)
            while time.monotonic() < until:
                with suppress(TimeoutError):
                    told = caller.recv(len(_GO))
                    if told == _GO:
                        return
                    break  # the chief is gone; perhaps it is started again
        time.sleep(PAUSE)
    raise NoriaError(f"The chief ({chief}) did not call for a start within {wait:.0f} s. Is it running, and reachable?")


def _number(caller: socket.socket) -> int | None:
    """Return the number of who has come; None of a stranger."""
    caller.settimeout(PATIENCE)
    try:
        line = caller.makefile("rb").readline(64)
    except OSError:
        return None
    number = line.removeprefix(_COME).strip()
    return int(number) if line.startswith(_COME) and number.isdigit() else None


@contextmanager
def _door(address: str) -> Iterator[socket.socket]:
    port = _place(address)[1]
    try:
        if socket.has_dualstack_ipv6():
            door = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        else:
            door = socket.create_server(("", port))
    except OSError as error:
        raise NoriaError(
            f"This worker is to be reached at {address}, and port {port} cannot be opened: {error.strerror}. End what "
            "holds it, or name another port in TF_CONFIG, on all workers."
        ) from None
    with door:
        yield door


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
