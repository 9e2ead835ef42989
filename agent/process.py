"""The agent as a process: opens the datapath, the client and the log, and turns the
agent until it is told to end.
"""

import gc
import json
import resource
import select
import signal
import time
from contextlib import ExitStack
from types import FrameType
from typing import Any

from agent import datapath as datapaths
from agent.agent import Agent
from agent.client import PolicyClient
from agent.config import AgentConfig
from agent.log import AgentLog


class _Stop:
    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run(config: AgentConfig) -> None:
    """Run one agent until SIGTERM or SIGINT. Prints `ready <cc name> <tier> <kernel algorithm>`
    once flows may start.

    Raises AgentError if what the config asks for cannot be had.
    """
    stop = _Stop()
    start_ns = time.monotonic_ns()
    with ExitStack() as stack:
        log = AgentLog(config.log_dir, start_ns)
        stack.callback(log.close)
        datapath, settled_because = datapaths.choose(config)
        stack.callback(datapath.close)
        log.event(
            time.monotonic_ns(),
            -1,
            "datapath",
            f"{datapath.name}, kernel algorithm {datapath.kernel}",
        )
        if settled_because:
            log.event(time.monotonic_ns(), -1, "portable", settled_because)
        client, within = None, None
        if config.inline and config.mode == "command":
            from agent.inline import inline  # late: a server's parts, which no live agent needs

            within = stack.enter_context(inline(config, config.inline, time.monotonic_ns))
        elif config.server and config.mode == "command":
            client = PolicyClient(config)
            stack.callback(client.close)
        agent = Agent(config, datapath, within or client, log, time.monotonic_ns)
        poller = stack.enter_context(select.epoll())
        if datapath.wake_fd is not None:
            # The ring is readable while it holds anything. Edge-triggered, only the datapath's
            # wake-ups end the sleep; but of every ACK it wakes a reader that has caught up only:
            # there, what came meanwhile must count.
            edge = select.EPOLLET if config.wake == "window" else 0
            poller.register(datapath.wake_fd, select.EPOLLIN | edge)
        if client:
            poller.register(client.wake_fd, select.EPOLLIN | select.EPOLLET)
        # What exists now stays: full collections would pause the agent for it again and again.
        gc.collect()
        gc.freeze()
        print(f"ready {datapath.cc_name} {datapath.name} {datapath.kernel}", flush=True)
        while not stop.asked:
            sleep_ns = agent.step()
            if within and (wait_ns := within.wait_ns()) is not None:
                sleep_ns = min(sleep_ns, wait_ns)
            poller.poll(sleep_ns / 1e9)
        agent.finish()
        answering = within or client
        _summarise(config, datapath, agent, settled_because, answering.served if answering else {})


def _summarise(
    config: AgentConfig,
    datapath: datapaths.Datapath,
    agent: Agent,
    settled_because: str,
    served: dict[str, Any],
) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    summary = {
        "cc_name": datapath.cc_name,
        "tier": datapath.name,
        "portable_because": settled_because or None,
        "kernel": datapath.kernel,
        "mode": config.mode,
        "policy": config.policy,
        "window_ns": config.window_ns,
        "deadline_ns": config.deadline_ns,
        "latency_ns": config.model_dump(mode="json")["latency_ns"],
        "dropped_records": datapath.dropped(),
        "refused_flows": datapath.refused(),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        **agent.counts,
        **served,
    }
    (config.log_dir / "agent.json").write_text(json.dumps(summary, indent=2) + "\n")
