"""One cell: a fresh network, one congestion controller, real traffic, and everything logged."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from analysis.files import SCHEMA, CellRecord, Cpu, CpuSample, FlowRecord
from testbed.controllers.base import CongestionController
from testbed.controllers.registry import parse
from testbed.links.base import FORWARD, REVERSE, LinkSample
from testbed.network import Network, build
from testbed.run.capture import Capture
from testbed.run.cpu import CpuSampler
from testbed.run.failures import Breaker
from testbed.run.flows import plan_flows
from testbed.run.hosts import write_nodes
from testbed.run.linklog import describe_links, stop_links
from testbed.run.plan import CellPlan
from testbed.run.prepared import Prepared
from testbed.run.programs import program_flows, write_received
from testbed.system.process import Process
from testbed.system.rtnl import set_congestion
from testbed.system.scope import Scope
from testbed.traffic import kind as traffic_kind
from testbed.traffic.base import argv
from testbed.traffic.collect import merge_logs
from testbed.traffic.planned import PlannedFlow
from testbed.units import NS_PER_MS, NS_PER_S

# To be ready, and after the stop to write the logs. Every process takes its share of the processor
# for either, half a second of a core and more where others want it: 64 flows are 128 processes.
_PATIENCE_S = 30.0
_PATIENCE_PER_PROCESS_S = 2.0
# From the last "ready" to the start: everyone has read the time by then.
_LEAD_NS = 300 * NS_PER_MS
_LEAD_PER_PROCESS_NS = 5 * NS_PER_MS
_SAMPLE_S = 0.1


def run_cell(
    run: Scope,
    prepared: Prepared,
    plan: CellPlan,
    controller: CongestionController,
    folder: Path,
    on_sample: Callable[[LinkSample, int], None],
    policy_server: str = "",
    after_traffic: Callable[[], None] | None = None,
) -> CellRecord:
    """Run one cell into ``folder``; returns what cell.json is to hold. Everything that it creates
    outside the folder is gone on return, also on exceptions.

    ``policy_server``: its address, where the flows themselves ask it.

    ``on_sample`` gets a reading of the first bottleneck and the time since the start (ns), ten
    times a second; ``after_traffic`` is called while the network still stands. Raises UserError
    (ProcessFailed among them).
    """
    with run.child(plan.folder) as cell:
        network = build(
            prepared.topology, prepared.backend, prepared.bottleneck(plan.seed), cell, folder
        )
        write_nodes(network, cell.tmp)
        checks = network.check()
        measured = [pair for pair in network.pairs if pair.role == "measured"]
        senders = [pair.sender.netns for pair in measured]
        if prepared.scenario.bidirectional or prepared.flow_options[plan.chooser].joint:
            senders += [pair.receiver.netns for pair in measured]
        tcp_congestion = controller.attach(cell, senders, folder)
        flows = plan_flows(prepared, network, plan, tcp_congestion, folder, policy_server)
        for flow in flows:
            if flow.foreign and (flow.role == "cross" or parse(plan.cc).kind != "app"):
                set_congestion(flow.pair.sender.netns, flow.spec.tcp_congestion)
        processes = _start_traffic(cell, flows, folder)
        breaker = Breaker(prepared.scenario.failures, network, prepared.server.own)
        capture = Capture.start(cell, network, folder) if prepared.scenario.pcap else None
        with CpuSampler() as cpu:
            start_ns = time.monotonic_ns() + _LEAD_NS + 2 * len(flows) * _LEAD_PER_PROCESS_NS
            stop_ns = start_ns + prepared.scenario.duration_ns
            for link in network.links.values():
                link.link.start(start_ns)
            for flow, ends in zip(flows, processes, strict=True):
                line = {"start_ns": start_ns + flow.start_ns, "stop_ns": start_ns + flow.stop_ns}
                for process in ends:
                    process.write_line(json.dumps(line))
            controller.begin(start_ns, network, flows)
            needs = [controller.check_running]
            if policy_server:
                needs.append(prepared.server.check_running)
            _watch(network, processes, needs, breaker, start_ns, stop_ns, on_sample)
        for process in (process for ends in processes for process in ends):
            process.wait(_patience_s(len(flows)))
            process.check()
        if capture is not None:
            capture.stop()
        if after_traffic is not None:
            after_traffic()
        programs = program_flows(flows, start_ns)
        records, packets = stop_links(network, folder, programs)
        agent = controller.detach(folder)
        breaker.end()
    doubts = [
        f"flow {flow.spec.flow}: {text}"
        for flow in flows
        for text in traffic_kind(flow.spec.kind).finish(flow.spec) or ()
    ]
    carried = write_received(packets, programs, flows, network, folder)
    merge_logs(folder)
    _drop_empty_logs(process for ends in processes for process in ends)
    warnings = [f"{record.backend} link: {text}" for record in records for text in record.warnings]
    return CellRecord(
        schema=SCHEMA,
        index=plan.index,
        cc=plan.label,
        abr=plan.abr_label,
        abr_checkpoint=prepared.abr_checkpoints.get(plan.abr, ""),
        scheduler=plan.scheduler_label,
        repeat=plan.repeat,
        seed=plan.seed,
        start_ns=start_ns,
        stop_ns=stop_ns,
        tcp_congestion=tcp_congestion,
        flows=[
            _describe_flow(flow, network, start_ns).model_copy(
                update=carried.get(flow.spec.flow, {})
            )
            for flow in flows
        ],
        links=describe_links(network, records),
        cpu=Cpu(samples=[CpuSample.model_validate(sample) for sample in cpu.samples]),
        environment=network.environment,
        idle_rtt_ns=[check.rtt_ns for check in checks],
        agent=agent,
        failures=breaker.events,
        warnings=[*prepared.warnings, *warnings, *doubts],
    )


def _drop_empty_logs(processes: Iterable[Process]) -> None:
    """Processes that had nothing to say leave no file."""
    for process in processes:
        if process.log.exists() and not process.log.stat().st_size:
            process.log.unlink()


def _start_traffic(
    cell: Scope, flows: list[PlannedFlow], folder: Path
) -> list[tuple[Process, Process]]:
    """Start both ends of every flow and wait until all are ready."""
    processes = []
    for flow in flows:
        found = traffic_kind(flow.spec.kind)
        config = cell.tmp / f"flow-{flow.spec.flow}.json"
        config.write_text(flow.spec.model_dump_json(), encoding="utf-8")
        ends = [
            cell.spawn(
                argv(found, role, config),
                name=f"{role}-{flow.spec.flow}",
                netns=host.netns,
                log=folder / f"{role}-{flow.spec.flow}.log",
            )
            for role, host in (("receiver", flow.pair.receiver), ("sender", flow.pair.sender))
        ]
        processes.append((ends[0], ends[1]))
    for process in (process for ends in processes for process in ends):
        process.read_line(_patience_s(len(flows)))
    return processes


def _patience_s(flows: int) -> float:
    return _PATIENCE_S + _PATIENCE_PER_PROCESS_S * 2 * flows


def _watch(
    network: Network,
    processes: list[tuple[Process, Process]],
    needs: Sequence[Callable[[], None]],
    breaker: Breaker,
    start_ns: int,
    stop_ns: int,
    on_sample: Callable[[LinkSample, int], None],
) -> None:
    """Until the end: show what the bottleneck does, break what is to fail, and notice at once when
    a process of the traffic or of the controller does so by itself. ``needs``: each raises
    ProcessFailed then.
    """
    bottleneck = next(link for link in network.links.values() if link.bottleneck)
    while (now_ns := time.monotonic_ns()) < stop_ns:
        breaker.advance(now_ns - start_ns)
        on_sample(bottleneck.link.sample(), max(0, now_ns - start_ns))
        for process in (process for ends in processes for process in ends):
            process.check()
        for check_running in needs:
            check_running()
        until_ns = stop_ns
        if breaker.next_ns is not None:
            until_ns = min(stop_ns, start_ns + breaker.next_ns)
        time.sleep(min(_SAMPLE_S, max(0.0, (until_ns - time.monotonic_ns()) / NS_PER_S)))


def _describe_flow(flow: PlannedFlow, network: Network, start_ns: int) -> FlowRecord:
    pair = flow.pair
    bottleneck = None
    for step in pair.path:
        if step.name == pair.bottleneck:
            way = FORWARD if step.forward else REVERSE
            bottleneck = 2 * network.links[step.name].index + way
    return FlowRecord(
        flow=flow.spec.flow,
        kind=flow.spec.kind,
        role=flow.role,
        cc=flow.spec.tcp_congestion,
        sender=pair.sender.name,
        receiver=pair.receiver.name,
        start_ns=start_ns + flow.start_ns,
        stop_ns=start_ns + flow.stop_ns,
        base_owd_ns=pair.forward_delay_ns,
        base_rtt_ns=pair.base_rtt_ns,
        bottleneck=bottleneck,
        options=flow.spec.options,
    )
