"""All probes, in the order in which they are shown. To add one, write a function that returns a
Finding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed.doctor import kernel, machine, network, software, virtual
from testbed.doctor.finding import Finding

Probe = Callable[[], Finding]

PROBES: list[Probe] = [
    kernel.version,
    kernel.root,
    kernel.namespaces,
    kernel.sysctls,
    kernel.tun,
    kernel.packet_sockets,
    network.offloads,
    *network.congestion_controllers,
    *network.qdiscs,
    kernel.btf,
    kernel.struct_ops,
    kernel.pins,
    software.python_packages,
    *software.tools,
    software.libbpf,
    software.relay,
    software.datapath,
    software.torch,
    virtual.virtual_time,
    machine.cpu,
    machine.timer,
    machine.open_files,
    machine.disk,
    machine.leftovers,
]


def examine(probes: Sequence[Probe] = PROBES) -> list[Finding]:
    """Run the probes, one after another: some measure the machine and want it quiet."""
    return [probe() for probe in probes]
