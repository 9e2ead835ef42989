"""One streaming session: what the player knows, chooses and logs. Pure but for the log; the time is
passed in.
"""

from __future__ import annotations

from typing import Protocol

from policy.tasks.abr.measured import measured, record, set_buffer
from policy.tasks.abr.session import Sessions
from testbed.traffic.abr import abr_label
from testbed.traffic.base import FlowSpec
from testbed.traffic.dash.cmcd import Cmcd
from testbed.traffic.dash.decide import Decider, Decision
from testbed.traffic.dash.logs import Chunk, Session, SessionLog
from testbed.traffic.dash.options import DashOptions
from testbed.units import NS_PER_MS, NS_PER_S


class BufferClock(Protocol):
    """`Playback`, or a browser's `VideoElement`."""

    started_ns: int | None

    def buffer_ns(self, now_ns: int) -> int: ...

    def stalled_ns(self, now_ns: int) -> int: ...

    def arrived(self, now_ns: int) -> int: ...


class PlayerSession:
    """Buffer, measurements and decisions of a session that begins at ``start_ns``."""

    def __init__(
        self,
        spec: FlowSpec,
        options: DashOptions,
        decider: Decider,
        log: SessionLog,
        playback: BufferClock,
        start_ns: int = 0,
    ) -> None:
        self._spec, self._options, self._log = spec, options, log
        self._video, self._qoe = options.played, options.measure
        self._decider, self._playback, self.start_ns = decider, playback, start_ns
        self._session: Sessions = measured(self._video, self._qoe, options.buffer_cap_s * 1000)
        self._kbps, self._starved = 0.0, False

    @property
    def chunk(self) -> int:
        """Number of the next chunk."""
        return self._session.chunk

    @property
    def over(self) -> bool:
        """Whether the whole video has arrived."""
        return self._session.done

    def size_bytes(self, level: int) -> int:
        """Size of the next chunk at a level."""
        return round(float(self._video.sizes_bytes[self.chunk, level]))

    def resumed(self, at_ns: int, stall_ns: int) -> None:
        """The picture moves again after a stall, which the chunk before has ended."""
        if stall_ns:
            self._log.stalled(at_ns, stall_ns / NS_PER_S)
            self._starved = True

    def choose(self, now_ns: int) -> Decision:
        """The next chunk's level. Raises what the rule raises."""
        if self.chunk == 0:
            return Decision(self._options.start_level, "start", 0)
        set_buffer(self._session, self._playback.buffer_ns(now_ns) / NS_PER_MS)
        return self._decider.choose(self._session)

    def told(self, level: int, now_ns: int) -> Cmcd:
        """What a request for the next chunk tells the server."""
        video, buffer_ns = self._video, self._playback.buffer_ns(now_ns)
        started = self._playback.started_ns is not None
        return Cmcd(
            br=round(video.bitrates_kbps[level]),
            bl=buffer_ns // NS_PER_MS,
            d=round(video.chunk_ms),
            dl=buffer_ns // NS_PER_MS,
            mtp=round(self._kbps),
            tb=round(video.bitrates_kbps[-1]),
            bs=int(self._starved),
            su=int(not started or buffer_ns == 0),
        )

    def arrived(
        self,
        decision: Decision,
        size_bytes: int,
        request_ns: int,
        first_byte_ns: int,
        last_byte_ns: int,
    ) -> None:
        """The chunk that was asked for last is complete."""
        number, level = self.chunk, decision.level
        stall_ns = self._playback.arrived(last_byte_ns)
        took_ns = max(last_byte_ns - request_ns, 1)
        latency_ns = min(max(first_byte_ns - request_ns, 0), took_ns)
        record(self._session, level, size_bytes, took_ns / NS_PER_MS, latency_ns / NS_PER_MS)
        self._kbps, self._starved = size_bytes * 8e6 / took_ns, stall_ns > 0
        chunk = Chunk(
            flow=self._spec.flow,
            chunk=number,
            level=level,
            bitrate_kbps=float(self._video.bitrates_kbps[level]),
            utility=float(self._qoe.utility[number, level]),
            size_bytes=size_bytes,
            request_ns=request_ns,
            first_byte_ns=first_byte_ns,
            last_byte_ns=last_byte_ns,
            buffer_s=self._playback.buffer_ns(last_byte_ns) / NS_PER_S,
            rebuffer_s=stall_ns / NS_PER_S,
            throughput_bps=size_bytes * 8e9 / took_ns,
            source=decision.source,
            decision_ns=decision.elapsed_ns,
        )
        self._log.add(self._row(last_byte_ns, "over" if self.over else "stopped"), chunk)

    def end(self, now_ns: int, ended: str) -> None:
        """The session ends: stopped, or server-gone. A video that is over stays so."""
        self._log.add(self._row(now_ns, "over" if self.over else ended))

    def _row(self, now_ns: int, ended: str) -> Session:
        options = self._options
        return Session(
            flow=self._spec.flow,
            abr=abr_label(options.abr),
            player=options.player,
            video=self._video.name,
            chunks=self._video.chunks,
            chunk_s=self._video.chunk_ms / 1000,
            stall_per_s=self._qoe.stall_per_s,
            switch=self._qoe.switch,
            start_ns=self.start_ns,
            started_ns=self._playback.started_ns,
            end_ns=now_ns,
            ended=ended,
            open_stall_s=0.0 if self.over else self._playback.stalled_ns(now_ns) / NS_PER_S,
        )
