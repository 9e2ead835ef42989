"""Video traffic as processes: the sender paces captures and feeds the socket, the receiver
plays.
"""

from __future__ import annotations

import select
import socket
import time

from testbed.traffic import receiver, tcpinfo
from testbed.traffic.base import FlowSpec
from testbed.traffic.process import Terminated, await_start, main
from testbed.traffic.records import NULL, RecordLog
from testbed.traffic.sockets import TCP_NOTSENT_LOWAT, abort, bound_sender, connect
from testbed.traffic.video import wire
from testbed.traffic.video.adaptation import adaptation
from testbed.traffic.video.encoder import Encoder, Frame, capture_offset_ns
from testbed.traffic.video.jitterbuffer import JitterBuffer
from testbed.traffic.video.logs import late_captures, merge_frames
from testbed.traffic.video.options import VideoOptions
from testbed.traffic.video.queue import FrameQueue
from testbed.units import NS_PER_MS

# Unsent bytes that may sit in the kernel, where they can no longer be skipped: a few packets, so
# that TCP never idles.
_NOTSENT_BYTES = 16 * 1024


class _Sender:
    """A video sender on a connected socket."""

    def __init__(self, spec: FlowSpec, sock: socket.socket) -> None:
        self._options = VideoOptions.model_validate(spec.options)
        self._spec = spec
        self._sock = sock
        self._encoder = Encoder(self._options, spec.seed)
        self._adaptation = adaptation(self._options)
        self._queue = FrameQueue(round(self._options.max_frame_age_ms * NS_PER_MS), wire.encode)
        # Of the frames that are not logged yet, by number: captures and frames count alike.
        self._late_ns: dict[int, int] = {}
        self._tcp_log = tcpinfo.TcpInfoLog(spec)
        columns = {
            "flow": "i",
            "frame": "i",
            "keyframe": "?",
            "captured_ns": "q",
            "size_bytes": "q",
        }
        self._frame_log = RecordLog(
            spec.log_dir / f"frames-sender-{spec.flow}.parquet",
            columns | {"target_bps": "d", "sent_ns": "q", "capture_late_ns": "q"},
            nullable=("sent_ns",),
        )

    def run(self, start_ns: int, stop_ns: int, terminated: Terminated) -> None:
        """Send until the time is up. Raises OSError when the receiver is gone."""
        poller = select.poll()
        poller.register(self._sock, select.POLLOUT)
        captures, next_sample_ns = 0, start_ns
        notsent_bytes = 0
        while not terminated and (now_ns := time.monotonic_ns()) < stop_ns:
            capture_ns = start_ns + capture_offset_ns(self._options, captures)
            if now_ns >= next_sample_ns or now_ns >= capture_ns:
                info = self._tcp_log.sample(self._sock, now_ns)
                self._adaptation.observe(now_ns, info)
                notsent_bytes = info.notsent_bytes
                next_sample_ns = now_ns + tcpinfo.INTERVAL_NS
            if now_ns >= capture_ns:
                self._late_ns[captures] = now_ns - capture_ns
                self._capture(now_ns, notsent_bytes)
                captures += 1
                continue
            wait_ms = (min(capture_ns, next_sample_ns, stop_ns) - now_ns) / NS_PER_MS
            if not self._queue:
                time.sleep(max(0.0, wait_ms / 1000))
            elif poller.poll(max(0.0, wait_ms)):
                self._write()

    def write_logs(self) -> None:
        """Frames that never left are logged as skipped."""
        for frame in self._queue.waiting():
            self._log(frame, NULL)
        self._tcp_log.write()
        self._frame_log.write_parquet()

    def _capture(self, now_ns: int, notsent_bytes: int) -> None:
        for frame in self._queue.skip_stale(now_ns):
            self._log(frame, NULL)
        target_bps = self._adaptation.update(
            now_ns,
            self._queue.backlog_bytes + notsent_bytes,
            sending=not self._queue.awaiting_keyframe,
        )
        frame = self._encoder.encode(now_ns, target_bps)
        if not self._queue.add(frame):
            self._log(frame, NULL)

    def _write(self) -> None:
        data, begun = self._queue.begin()
        sent_ns = time.monotonic_ns() if begun is not None else NULL
        try:
            self._queue.written(data, self._sock.send(data))
        except BlockingIOError:
            return
        if begun is not None:
            self._log(begun, sent_ns)

    def _log(self, frame: Frame, sent_ns: int) -> None:
        self._frame_log.append(
            self._spec.flow,
            frame.number,
            frame.keyframe,
            frame.captured_ns,
            frame.size_bytes,
            frame.target_bps,
            sent_ns,
            self._late_ns.pop(frame.number),
        )


def send(spec: FlowSpec) -> None:
    """The sender's process. Raises UserError, OSError."""
    terminated = Terminated()
    sock = bound_sender(spec)
    sender = _Sender(spec, sock)
    try:
        interval = await_start(terminated)
        if interval is not None and connect(sock, spec, interval, terminated):
            sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, _NOTSENT_BYTES)
            # Captures begin once there is a connection: a call that is not set up yet shows no
            # video.
            sender.run(time.monotonic_ns(), interval.stop_ns, terminated)
    except (ConnectionResetError, BrokenPipeError):
        pass  # the receiver ended first; what was measured stands
    finally:
        abort(sock)
        sender.write_logs()


def receive(spec: FlowSpec) -> None:
    """The receiver's process. Raises OSError, and ValueError if something else than video
    arrives.
    """
    options = VideoOptions.model_validate(spec.options)
    playout = JitterBuffer(round(options.jitter_buffer_ms * NS_PER_MS))
    decoder = wire.Decoder()
    buffer = bytearray(1 << 18)
    frames = RecordLog(
        spec.log_dir / f"frames-receiver-{spec.flow}.parquet",
        {"frame": "i", "completed_ns": "q", "displayed_ns": "q"},
    )

    def read(sock: socket.socket) -> int:
        return sock.recv_into(buffer)

    def play(received: int, completed_ns: int) -> None:
        for frame in decoder.feed(memoryview(buffer)[:received]):
            frames.append(
                frame.number, completed_ns, playout.display_ns(frame.captured_ns, completed_ns)
            )

    try:
        receiver.receive(spec, read, play)
    finally:
        frames.write_parquet()


class Video:
    """See TrafficKind."""

    name = "video"
    module = "testbed.traffic.video.kind"
    options_model = VideoOptions

    def finish(self, spec: FlowSpec) -> list[str]:
        """Join the sender's and the receiver's frame logs."""
        return late_captures(
            merge_frames(spec.log_dir, spec.flow), VideoOptions.model_validate(spec.options).fps
        )


KIND = Video()

if __name__ == "__main__":
    main(sender=send, receiver=receive)
