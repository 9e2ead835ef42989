"""The packet log as pcapng (draft-ietf-opsawg-pcapng), for Wireshark.

Two interfaces per link direction: packets that arrive at its queue, and packets that it delivers.
Headers are built from the log, of IPv4 or IPv6 as the run was: addresses, ports, protocol, ECN and
lengths are true, sequence numbers and checksums are zero. A packet that did not get through has the
reason as a comment.
Times count from the cell's start.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from analysis.errors import AnalysisError
from analysis.files import IPV6_PREFIX, Verdict
from analysis.frames import read_table
from analysis.run import Cell

_LINKTYPE = {4: 228, 6: 229}  # of raw IPv4 and IPv6
_NANOSECONDS = 9
_OPT_COMMENT, _IF_NAME, _IF_TSRESOL = 1, 2, 9
_UDP, _TCP = 17, 6
_COLUMNS = [
    "link",
    "enqueue_ns",
    "deliver_ns",
    "size_bytes",
    "verdict",
    "ecn",
    "marked",
    "protocol",
    "source",
    "destination",
    "source_port",
    "destination_port",
    "payload_bytes",
]


def write(cell: Cell, path: Path, ip: int = 4) -> None:
    """Write the file; ``ip`` is the version of IP between the hosts. Raises AnalysisError, also for
    a log without addresses; OSError.
    """
    table = read_table(cell.folder, "packets")
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise AnalysisError(f"{cell.folder}: its packet log lacks {', '.join(missing)}; run again")
    draft = path.with_name(path.name + ".tmp")
    with draft.open("wb") as file:
        _write_block(file, 0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
        for link in cell.links:
            for place in ("arrives", "delivered"):
                name = f"link {link.link} {place}".encode()
                options = _option(_IF_NAME, name) + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
                _write_block(file, 1, struct.pack("<HHI", _LINKTYPE[ip], 0, 0) + options + _END)
        rows = table.select(_COLUMNS).to_pylist()
        moments = sorted(_moments(rows), key=lambda moment: moment[0])
        place_of = {link.link: 2 * index for index, link in enumerate(cell.links)}
        for at_ns, delivered, number in moments:
            row = rows[number]
            interface = place_of[row["link"]] + delivered
            headers = _headers(row, ip, marked=bool(delivered) or not row["marked"])
            reason = None if delivered else row["verdict"]
            _write_packet(file, interface, max(0, at_ns - cell.start_ns), row, headers, reason)
    draft.replace(path)


def _moments(rows: list[dict[str, int]]) -> Iterator[tuple[int, int, int]]:
    """When, whether delivered, and which row."""
    for number, row in enumerate(rows):
        yield row["enqueue_ns"], 0, number
        if row["verdict"] == Verdict.DELIVERED:
            yield row["deliver_ns"], 1, number


def _write_packet(
    file: BinaryIO,
    interface: int,
    at_ns: int,
    row: dict[str, int],
    headers: bytes,
    verdict: int | None,
) -> None:
    """``verdict``: where the packet arrives, for the comment on one that does not get through."""
    padded = headers + bytes(-len(headers) % 4)
    body = struct.pack(
        "<IIIII", interface, at_ns >> 32, at_ns & 0xFFFFFFFF, len(headers), row["size_bytes"]
    )
    comment = b""
    if verdict is not None and verdict != Verdict.DELIVERED:
        reason = Verdict(verdict).name.lower().replace("_", " ")
        comment = _option(_OPT_COMMENT, reason.encode()) + _END
    _write_block(file, 6, body + padded + comment)


def _headers(row: dict[str, int], ip: int, *, marked: bool) -> bytes:
    """IP and TCP or UDP headers. Before the link marked a packet, it was ECT(0) or ECT(1)."""
    ecn = row["ecn"] if marked else 2
    size, protocol = row["size_bytes"], row["protocol"]
    addresses = row["source"], row["destination"]
    if ip == 4:
        head = struct.pack("!BBHHHBBHII", 0x45, ecn, size, 0, 0, 64, protocol, 0, *addresses)
    else:
        # The log has the last 32 bits of an address; a topology's others are all the same.
        head = struct.pack("!IHBB", 6 << 28 | ecn << 20, max(0, size - 40), protocol, 64)
        head += b"".join((IPV6_PREFIX | address).to_bytes(16, "big") for address in addresses)
    behind = size - len(head)
    ports = row["source_port"], row["destination_port"]
    if protocol == _TCP and behind >= 20:
        words = max(5, min(15, (behind - row["payload_bytes"]) // 4))
        return head + struct.pack("!HHIIBBHHH", *ports, 0, 0, words << 4, 0x10, 0, 0, 0)
    if protocol == _UDP and behind >= 8:
        return head + struct.pack("!HHHH", *ports, behind, 0)
    return head[:size]


_END = struct.pack("<HH", 0, 0)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _write_block(file: BinaryIO, kind: int, body: bytes) -> None:
    length = struct.pack("<I", 12 + len(body))
    file.write(struct.pack("<I", kind) + length + body + length)
