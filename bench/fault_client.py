"""A client that breaks the policy protocol in every way at once: ``python -m bench.fault_client
unix:/path``.

Prints ``ready``, waits for a line, then prints one JSON object: per kind of abuse the gRPC status
that ended its stream, or the counts that the server rejected.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np

from policy.protocol import policy_pb2 as pb

OVERSIZED_BYTES = 2 << 20  # the server of the fault runs takes messages up to 1 MiB …
UNREADABLE_BYTES = 8 << 20  # … and gRPC reads none beyond 4 MiB
_METHOD = "/tbtest.policy.v1.Policy/Decide"
_TIMEOUT_S = 3.0


def _hello() -> bytes:
    hello = pb.Hello(
        version=1, agent_id="abuser", policy="gcc", window_ns=100_000_000, deadline_ns=100_000_000
    )
    return pb.AgentMessage(hello=hello).SerializeToString()


def _state(**parts: object) -> bytes:
    state = pb.StateBatch(sequence=1, sent_ns=1_000_000_000, **parts)  # type: ignore[arg-type]
    return pb.AgentMessage(state=state).SerializeToString()


def _unknown_flows(count: int) -> pb.Windows:
    return pb.Windows(
        flow=np.arange(count, dtype="<u4").tobytes(),
        generation=np.full(count, 7, "<u4").tobytes(),
        window=np.zeros(count, "<i8").tobytes(),
        end_ns=np.full(count, 500_000_000, "<i8").tobytes(),
    )


def _stream(channel: grpc.Channel, *messages: bytes) -> str | dict[str, int]:
    """Send the messages as they are; what the server said of them."""
    method: Any = channel.stream_stream(_METHOD)  # without (de)serialisers: bytes both ways
    answered = threading.Event()

    def all_messages() -> Iterator[bytes]:
        yield from messages
        answered.wait(_TIMEOUT_S)  # a stream that ends is given no more answers

    call = method(all_messages(), timeout=_TIMEOUT_S)
    try:
        for answer in call:
            message = pb.ServerMessage.FromString(answer)
            if message.WhichOneof("message") == "rejected":
                call.cancel()
                return dict(message.rejected.count)
    except grpc.RpcError as error:
        return str(error.code().name)
    finally:
        answered.set()
    return "OK"


def _raw(address: str) -> str:
    """Bytes that are no HTTP/2 on a connection of their own."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(address.removeprefix("unix:"))
        try:
            connection.sendall(random.Random(1).randbytes(1 << 16))
            while connection.recv(1 << 16):
                pass
        except TimeoutError:
            return "open"
        except OSError:
            pass
    return "closed"


def abuse(address: str) -> dict[str, object]:
    """All kinds, one after another."""
    garbage = random.Random(2).randbytes(4096)
    with grpc.insecure_channel(address) as channel:
        return {
            "bytes that are no HTTP/2": _raw(address),
            "message that is no protobuf": _stream(channel, garbage),
            "no protobuf after Hello": _stream(channel, _hello(), garbage),
            "oversized message": _stream(
                channel, _hello(), _state(closes=pb.Closes(flow=bytes(OVERSIZED_BYTES)))
            ),
            "message too large to read": _stream(channel, _hello(), bytes(UNREADABLE_BYTES)),
            "no Hello": _stream(channel, _state()),
            "ragged columns": _stream(channel, _hello(), _state(windows=pb.Windows(flow=bytes(3)))),
            "unknown flows": _stream(channel, _hello(), _state(windows=_unknown_flows(1000))),
        }


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(abuse(sys.argv[1])), flush=True)
