"""A QUIC transfer with aioquic, as command traffic: any program, in any language, runs like this.

Needs `pip install aioquic`. One stream; the receiver tells how much has arrived, and the sender
keeps a megabyte on its way, so that QUIC's own congestion controller decides the rate.

    tbtest run --flow command --cc app:reno,app:cubic --rate 5mbit --duration 5s \
        --receiver 'python examples/quic.py receive {port}' \
        --sender 'python examples/quic.py send {receiver} {port} {duration} {cc}'
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
import struct
import sys

import aioquic.quic.congestion.cubic  # noqa: F401  # registers cubic beside reno
from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OUTSTANDING_BYTES = 1_000_000
CHUNK_BYTES = 50_000
COUNT = struct.Struct("!Q")


def self_signed() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for this run alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate, key


async def receive(port: int) -> None:
    """Listen until ended; answer what arrives with how much has arrived."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["transfer"])
    configuration.certificate, configuration.private_key = self_signed()

    running: set[asyncio.Future[None]] = set()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        total_bytes = 0
        while data := await reader.read(65_536):
            total_bytes += len(data)
            writer.write(COUNT.pack(total_bytes))

    def on_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(count(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    await serve("::", port, configuration=configuration, stream_handler=on_stream)
    await asyncio.Event().wait()


async def send(host: str, port: int, seconds: float, algorithm: str) -> None:
    """Send for that long, as fast as the congestion controller lets."""
    configuration = QuicConfiguration(
        alpn_protocols=["transfer"],
        verify_mode=ssl.CERT_NONE,
        congestion_control_algorithm=algorithm,
    )
    end = asyncio.get_running_loop().time() + seconds
    async with connect(host, port, configuration=configuration) as client:
        reader, writer = await client.create_stream()
        sent_bytes = arrived_bytes = 0
        while asyncio.get_running_loop().time() < end:
            while sent_bytes - arrived_bytes < OUTSTANDING_BYTES:
                writer.write(bytes(CHUNK_BYTES))
                sent_bytes += CHUNK_BYTES
            (arrived_bytes,) = COUNT.unpack(await reader.readexactly(COUNT.size))
        print(f"{arrived_bytes} bytes arrived", flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "receive":
        asyncio.run(receive(int(arguments[0])))
    else:
        asyncio.run(send(arguments[0], int(arguments[1]), float(arguments[2]), arguments[3]))
