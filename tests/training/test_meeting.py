"""Workers wait for one another, whoever comes first; who is missing is named."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from noria.errors import NoriaError
from noria.training.meeting import gather


def addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_begin_once_the_last_has_come(order: tuple[int, ...]) -> None:
    places, begun, last = addresses(3), [], 0.0
    with ThreadPoolExecutor(3) as pool:
        for rank in order:
            last = time.monotonic()
            done = pool.submit(gather, places, rank, wait=30)
            done.add_done_callback(lambda _done: begun.append(time.monotonic()))
            if rank != order[-1]:
                time.sleep(0.4)
                assert not begun
    assert len(begun) == 3
    assert all(moment >= last for moment in begun)
    with socket.create_server(("127.0.0.1", int(places[0].rpartition(":")[2]))):
        pass  # the address is free for who comes next


def test_who_is_missing_is_named() -> None:
    places = addresses(3)
    with ThreadPoolExecutor(2) as pool:
        chief, second = (pool.submit(gather, places, rank, wait=2) for rank in (0, 1))
        with pytest.raises(NoriaError, match=rf"^worker 3 \({places[2]}\) did not come within 2 s"):
            chief.result()
        with pytest.raises(NoriaError, match=rf"The chief \({places[0]}\)"):
            second.result()


@pytest.mark.parametrize("rank", [0, 1])
def test_an_address_that_is_taken_is_told(rank: int) -> None:
    places = addresses(2)
    with (
        socket.create_server(("127.0.0.1", int(places[rank].rpartition(":")[2]))),
        pytest.raises(NoriaError, match=rf"{places[rank]}.*in use"),
    ):
        gather(places, rank, wait=5)


def test_strangers_at_the_door_change_nothing() -> None:
    places = addresses(2)
    chief = threading.Thread(target=gather, args=(places, 0), kwargs={"wait": 30})
    chief.start()
    port = int(places[0].rpartition(":")[2])
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"noria worker 7\n", b"noria worker x\n", b""):
        until = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as stranger:
                    stranger.sendall(said)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until
    assert chief.is_alive()
    gather(places, 1, wait=30)
    chief.join(10)
    assert not chief.is_alive()
