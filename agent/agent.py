"""One agent: records in, windows out, answers into the kernel, and a local policy while the server
is silent.

`Agent.step` does one turn. It owns no clock, thread or socket: datapath, client and log do.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from agent import audit
from agent.answers import Answers
from agent.awaited import AwaitedWindows
from agent.batch import Batch, Batcher
from agent.config import AgentConfig
from agent.datapath import Datapath
from agent.layout import Flag, Kind, Records, join
from agent.local_policy import LocalPolicy
from agent.log import AgentLog

FLUSH_NS = 25_000_000  # records are sent at least this often
LOCAL_TIER = "local"
# Plain numbers: looked at on every wake-up.
_ACK, _CLOSES_WINDOW = int(Kind.ACK), int(Flag.CLOSES_WINDOW)

Integers = npt.NDArray[np.int64]


class Client(Protocol):
    """The server's side, as the agent sees it; nothing here blocks."""

    @property
    def connected(self) -> bool:
        """Whether there is a server that may answer."""

    def send(self, batch: Batch, now_ns: int) -> None:
        """Queue a batch; the oldest is dropped where the queue is full."""

    def receive(self) -> Sequence[Answers]:
        """Answers that have come since the last call."""

    def events(self) -> Sequence[tuple[int, str, str]]:
        """(time, event, detail) of connections made and lost since the last call."""


class Agent:
    """client: None where the local policy decides (no server) or nothing does (observe mode);
    clock: monotonic ns.
    """

    def __init__(
        self,
        config: AgentConfig,
        datapath: Datapath,
        client: Client | None,
        log: AgentLog,
        clock: Callable[[], int],
    ) -> None:
        now_ns = clock()
        cookies = None if config.netns_cookies is None else frozenset(config.netns_cookies)
        slots = len(datapath.flows)
        self._config, self._datapath, self._client, self._log = config, datapath, client, log
        self._clock = clock
        self._commanding = config.mode == "command"
        self._batcher = Batcher(slots, config.window_ns, netns_cookies=cookies)
        self._local = LocalPolicy(slots)
        self._staged: list[Records] = []
        self._awaited = AwaitedWindows(slots, config.window_ns, config.deadline_ns)
        self._in_force = np.full(slots, "kernel", dtype="<U16")
        self._commanded = np.full(slots, -1)  # what the datapath last said: 1 or 0; -1: nothing yet
        self._silent = False
        self._next_flush_ns = self._next_wake_ns = self._next_audit_ns = now_ns
        self._audit = audit.Audit(datapath, self._batcher, log)
        self.counts = {
            "records": 0,
            "windows": 0,
            "decisions": 0,
            "local_decisions": 0,
            "deadline_missed": 0,
            "stale_answers": 0,
            "invalid_answers": 0,
        }
        self._adopted: set[tuple[int, int]] = (
            set()
        )  # flows (slot, generation) whose opening a dead agent has logged
        if datapath.adopted:
            live = np.flatnonzero(datapath.flows["live"])
            self._adopted = set(
                zip(live.tolist(), datapath.flows["generation"][live].tolist(), strict=True)
            )
            self._batcher.reconcile(datapath.flows, live.tolist(), now_ns)
            log.event(now_ns, -1, "takeover", f"{len(live)} flows")

    def step(self) -> int:
        """One turn. Returns how long the agent may sleep (ns) if nothing wakes it before."""
        now_ns = self._clock()
        if self._client and (answers := self._client.receive()):
            self._apply(answers)
        records = self._datapath.poll(now_ns)
        urgent = False
        if len(records):
            self._staged.append(records)
            # No other kind's bits are those of ACK.
            kinds, flags = (
                np.bitwise_or.reduce(records["kind"]),
                np.bitwise_or.reduce(records["flags"]),
            )
            urgent = bool(kinds != _ACK or flags & _CLOSES_WINDOW)
        if urgent or now_ns >= self._next_wake_ns:
            self._process(now_ns)
        return max(0, min(self._next_wake_ns - self._clock(), self._datapath.poll_ns))

    def finish(self) -> None:
        """Log what has come since the last turn; the last call."""
        if len(records := self._datapath.poll(self._clock())):
            self._staged.append(records)
        now_ns = self._clock()
        self._process(now_ns)
        self._batcher.wake(self._batcher.live().tolist(), now_ns)
        self._audit.run(now_ns)

    def _process(self, now_ns: int) -> None:
        records = join(self._staged)
        self._staged = []
        self._batcher.add(records)
        if self._batcher.unknown:
            self._batcher.reconcile(self._datapath.flows, list(self._batcher.unknown), now_ns)
        # Before newer windows close: the one that is overdue gets its answer.
        self._answer_locally(self._awaited.overdue(now_ns), now_ns)
        self._send_ripe(now_ns)
        if now_ns >= self._next_audit_ns:
            self._next_audit_ns = now_ns + audit.INTERVAL_NS
            self._audit.run(now_ns)
        self._batcher.expire(now_ns)
        self._send_ripe(now_ns, always=True)
        self._follow_control(records)
        self._next_flush_ns = now_ns + FLUSH_NS
        expiry_ns = self._batcher.next_expiry_ns(now_ns)
        if expiry_ns is not None:
            self._next_flush_ns = max(now_ns + 1_000_000, min(self._next_flush_ns, expiry_ns))
        self._next_wake_ns = min(self._next_flush_ns, self._awaited.next_due_ns)
        for at_ns, event, detail in self._client.events() if self._client else ():
            self._log.event(at_ns, -1, event, detail)
        self._log.flush(now_ns)

    def _send_ripe(self, now_ns: int, *, always: bool = False) -> None:
        """Send what has gathered, if a window closed or a flow came or went; `always`: records
        alone, too.
        """
        if (always or self._batcher.ripe()) and (batch := self._batcher.take()) is not None:
            self._take(batch, now_ns)

    def _take(self, batch: Batch, now_ns: int) -> None:
        for opened in batch.opens:
            self._local.open(opened.slot, opened.open_ns)
            self._awaited.open(opened.slot)
            self._in_force[opened.slot] = "kernel"
            self._commanded[opened.slot] = -1
            met = (opened.slot, opened.generation) in self._adopted
            detail = f"slot {opened.slot} generation {opened.generation}"
            self._log.event(
                now_ns if met else opened.open_ns, opened.flow, "adopted" if met else "open", detail
            )
        if self._client and self._commanding:
            self._client.send(batch, now_ns)  # first of all: a window waits for its answer
        flows = self._batcher.flow
        for slot, generation in batch.closes:
            self._awaited.close(slot)
            self._log.event(
                now_ns, int(flows[slot]), "close", f"slot {slot} generation {generation}"
            )
        if len(batch.records):
            self.counts["records"] += len(batch.records)
            self._local.observe(batch.records)
            self._log.acks(batch.records, flows[batch.records["slot"]])
        if self._commanding:
            self._expect_answers(batch.windows, now_ns)

    def _expect_answers(self, windows: npt.NDArray[np.void], now_ns: int) -> None:
        windows = windows[self._batcher.generation[windows["slot"]] == windows["generation"]]
        self.counts["windows"] += len(windows)
        awaited = self._client is not None and self._client.connected
        self._awaited.closed(windows, awaited=awaited)
        if not awaited:
            self._answer_locally(np.unique(windows["slot"]), now_ns)

    def _follow_control(self, records: Records) -> None:
        """Log where the datapath says that control passed between agent and kernel."""
        for state in records[records["kind"] == Kind.STATE]:
            slot, commanded = int(state["slot"]), bool(state["flags"] & Flag.COMMANDED)
            if (
                commanded != self._commanded[slot]
                and self._batcher.generation[slot] == state["generation"]
            ):
                self._commanded[slot] = commanded
                detail = "agent" if commanded else f"kernel {self._datapath.kernel}"
                self._log.event(
                    int(state["at_ns"]), int(self._batcher.flow[slot]), "control", detail
                )

    def _apply(self, batches: Sequence[Answers]) -> None:
        """Command what the server answered. The newest window wins; what cannot be used is
        counted.
        """
        for received in batches:
            valid = received.valid(len(self._awaited))
            answers = received.only(valid)
            slots = answers.slot
            current = self._batcher.generation[slots] == answers.generation
            current &= self._awaited.current(answers)
            self.counts["invalid_answers"] += len(received) - len(answers)
            self.counts["stale_answers"] += int(np.count_nonzero(~current))
            answers = answers.only(current)
            if len(answers):
                self._datapath.command(
                    answers.slot, answers.generation, answers.pacing_rate_bps, answers.cwnd_packets
                )
                self._answered_by_server(answers, self._clock())
        self._next_wake_ns = min(self._next_flush_ns, self._awaited.next_due_ns)

    def _answered_by_server(self, answers: Answers, applied_ns: int) -> None:
        slots = answers.slot
        self._local.commanded(slots)
        met = self._awaited.answered(answers)
        self.counts["decisions"] += len(answers)
        self.counts["deadline_missed"] += int(np.count_nonzero(met.missed))
        if self._silent and met.newest.any():
            self._silent = False
            self._log.event(answers.received_ns, -1, "server-answers", "")
        self._log.decisions(
            {
                "flow": self._batcher.flow[slots],
                "slot": slots,
                "generation": answers.generation,
                "window": answers.window,
                "window_end_ns": met.end_ns,
                "close_ack_ns": met.close_ack_ns,
                "received_ns": np.full(len(slots), answers.received_ns),
                "applied_ns": np.full(len(slots), applied_ns),
                "pacing_rate_bps": answers.pacing_rate_bps,
                "cwnd_packets": answers.cwnd_packets,
                "tier": answers.tier,
                "queue_ns": answers.queue_ns,
                "compute_ns": answers.compute_ns,
                "deadline_missed": met.missed,
                "reasons": answers.reasons,
            }
        )
        self._note_tiers(slots, answers.tier, applied_ns)

    def _answer_locally(self, slots: Integers, now_ns: int) -> None:
        """The server is late or gone: the local policy answers the newest window of these flows."""
        if not len(slots):
            return
        self._awaited.given_up(slots)
        slots = slots[self._batcher.generation[slots] > 0]
        rates_bps, cwnds = self._local.decide(slots)
        usable = np.isfinite(rates_bps)
        slots, rates_bps, cwnds = slots[usable], rates_bps[usable], cwnds[usable]
        if not len(slots):
            return
        generations = self._batcher.generation[slots]
        self._datapath.command(slots, generations, rates_bps, cwnds)
        applied_ns = self._clock()
        missed = self._client is not None
        self._awaited.answered_locally(slots)
        self.counts["local_decisions"] += len(slots)
        self.counts["deadline_missed"] += len(slots) * missed
        if missed and not self._silent:
            self._silent = True
            self._log.event(now_ns, -1, "server-silent", "the local policy answers")
        tier, zeros = np.full(len(slots), LOCAL_TIER), np.zeros(len(slots), np.int64)
        self._log.decisions(
            {
                "flow": self._batcher.flow[slots],
                "slot": slots,
                "generation": generations,
                "window": self._awaited.window[slots],
                "window_end_ns": self._awaited.end_ns[slots],
                "close_ack_ns": self._awaited.close_ack_ns[slots],
                "received_ns": zeros,
                "applied_ns": np.full(len(slots), applied_ns),
                "pacing_rate_bps": rates_bps,
                "cwnd_packets": cwnds,
                "tier": tier,
                "queue_ns": zeros,
                "compute_ns": zeros,
                "deadline_missed": np.full(len(slots), missed),
                "reasons": zeros,
            }
        )
        self._note_tiers(slots, tier, applied_ns)

    def _note_tiers(self, slots: Integers, tiers: npt.NDArray[np.str_], at_ns: int) -> None:
        changed = np.flatnonzero(self._in_force[slots] != tiers)
        self._in_force[slots] = tiers
        for index in changed:
            self._log.event(at_ns, int(self._batcher.flow[slots[index]]), "tier", str(tiers[index]))
