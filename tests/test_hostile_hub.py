"""A server on loopback that does not mean well: every request ends, at the deadline at the latest, in one clear error."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.helpers import use_hub
from tscale import hub
from tscale.errors import SpecError

pytest.importorskip("huggingface_hub")

CONFIG = json.dumps({"model_type": "llama", "hidden_size": 64}).encode()
TENSOR = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
SECONDS = 0.2

Answer = Callable[[socket.socket, str, int, int], None]
"""Answers a request for a file, of the bytes from one place to another."""


def _ok(
    connection: socket.socket, body: bytes, status: str = "200 OK", *headers: str, length: int | None = None
) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    connection.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + body)


def _drip(connection: socket.socket, file: str, start: int, stop: int) -> None:
    """Headers without end, a byte at a time."""
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 2000:
        connection.sendall(bytes([byte]))
        time.sleep(SECONDS / 10)


def _dripped_body(connection: socket.socket, file: str, start: int, stop: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(SECONDS / 10)


def _informs(connection: socket.socket, file: str, start: int, stop: int) -> None:
    """Informational answers without end."""
    while True:
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)
        time.sleep(SECONDS / 40)


def _silent(connection: socket.socket, file: str, start: int, stop: int) -> None:
    connection.recv(1)


def _byte_a_range(connection: socket.socket, file: str, start: int, stop: int) -> None:
    """Of whatever part is asked for, the first byte, and that part alone is claimed."""
    first = struct.pack("<Q", 20_000_000)[:1] if start == 0 else b" "
    _ok(connection, first, "206 Partial", f"Content-Range: bytes {start}-{start}/20000012")


def _claims(size: int) -> Answer:
    def answer(connection: socket.socket, file: str, start: int, stop: int) -> None:
        _ok(connection, CONFIG, "206 Partial", f"Content-Range: bytes {start}-{size - 1}/{size}")

    return answer


def _elsewhere(connection: socket.socket, file: str, start: int, stop: int) -> None:
    _ok(connection, CONFIG, "206 Partial", f"Content-Range: bytes 7-{6 + len(CONFIG)}/{7 + len(CONFIG)}")


def _breaks_off(connection: socket.socket, file: str, start: int, stop: int) -> None:
    _ok(connection, CONFIG, length=100_000)


def _compressed(connection: socket.socket, file: str, start: int, stop: int) -> None:
    _ok(connection, gzip.compress(bytes(2**20)), "200 OK", "Content-Encoding: gzip")


def _endless_chunks(connection: socket.socket, file: str, start: int, stop: int) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")


def _slow_shards(connection: socket.socket, file: str, start: int, stop: int) -> None:
    """Ten thousand shards, each right and each late."""
    if file == "model.safetensors":
        _ok(connection, b"", "404 Not Found", "X-Error-Code: EntryNotFound")
    elif file.endswith(".json"):
        weights = {f"t{number}": f"s{number}.safetensors" for number in range(10_000)}
        _ok(connection, json.dumps({"weight_map": weights}).encode())
    else:
        time.sleep(SECONDS / 4)
        raw = TENSOR.replace(b'"a"', f'"t{file[1:-12]}"'.encode())
        _ok(connection, struct.pack("<Q", len(raw)) + raw + bytes(4))


def _grows(connection: socket.socket, file: str, start: int, stop: int) -> None:
    """A file that is longer each time that it is asked for."""
    size = 20_000_012 + start
    part = (struct.pack("<Q", 20_000_000) + bytes(stop))[start : stop + 1]
    _ok(connection, part, "206 Partial", f"Content-Range: bytes {start}-{start + len(part) - 1}/{size}")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], None]]:
    """Starts a hub that answers in one way, and points the client at it."""
    listener = socket.create_server(("127.0.0.1", 0))
    answers: list[Answer] = []

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                more = connection.recv(65_536)
                if not more:
                    return
                asked += more
            lines = asked.decode("latin-1").split("\r\n")
            part = next((line for line in lines if line.lower().startswith("range:")), "").partition("=")[2]
            if not part:
                return  # what the client asks for on its own
            start, stop = map(int, part.split("-"))
            answers[0](connection, lines[0].split(" ")[1].rpartition("/")[2], start, stop)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    use_hub(endpoint, monkeypatch)
    threading.Thread(target=accept, daemon=True).start()
    yield answers.append
    listener.close()


LATE = f"no whole answer in {SECONDS:g} seconds"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_drip, LATE),
        (_dripped_body, LATE),
        (_informs, LATE),
        (_silent, LATE),
        (_claims(5_000), f"the hub sends {len(CONFIG)} bytes of it where 5,000 were asked for"),
        (_elsewhere, "the hub sends its bytes from 7 on where those from 0 were asked for"),
        (_breaks_off, "the hub cannot be reached"),
        (_compressed, "the hub sends it in an encoding that was not asked for"),
        (_endless_chunks, "the hub does not tell the size of the file"),
    ],
)
def test_a_config_of_a_hostile_hub_is_one_clear_error(
    serve: Callable[[Answer], None], answer: Answer, said: str
) -> None:
    serve(answer)
    with hub.deadline(SECONDS if said == LATE else None), pytest.raises(SpecError) as caught:
        hub.description("org/name")
    assert said in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_drip, LATE),
        (_byte_a_range, "the hub sends 1 bytes of it where 131,072 were asked for"),
        (_slow_shards, LATE),
        (_grows, "model.safetensors: is 20,000,012 bytes long in one answer and 20,131,084 in another"),
    ],
)
def test_weights_of_a_hostile_hub_are_one_clear_error(
    serve: Callable[[Answer], None], answer: Answer, said: str
) -> None:
    serve(answer)
    with hub.deadline(SECONDS if said == LATE else None), pytest.raises(SpecError) as caught:
        hub.weights("org/name")
    assert said in str(caught.value)


def test_one_deadline_holds_for_all_requests_made_inside_it(serve: Callable[[Answer], None]) -> None:
    """What one request took is not there for the next."""
    serve(_silent)
    with hub.deadline(SECONDS), hub.deadline(1000):
        for _ in range(2):
            with pytest.raises(SpecError, match=LATE):
                hub.description("org/name")
