"""What client and server of web traffic agree on: a request is the number of bytes wanted."""

from __future__ import annotations

import asyncio
import socket
import struct

REQUEST = struct.Struct("<Q")
MAX_OPEN = 500
"""Transfers at a time: a client with more open ones starts no further."""
BACKLOG = 2 * MAX_OPEN


async def receive_exactly(sock: socket.socket, count: int) -> bytes:
    """``count`` bytes. Raises asyncio.IncompleteReadError at the stream's end, OSError."""
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < count:
        part = await loop.sock_recv(sock, count - len(found))
        if not part:
            raise asyncio.IncompleteReadError(found, count)
        found += part
    return found
