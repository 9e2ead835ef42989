"""Interfaces of a link's two ends: creation, addresses, and no queue that nobody asked for."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute

from testbed.errors import UserError
from testbed.system.offload import offloads_off
from testbed.system.rtnl import add_address

if TYPE_CHECKING:
    from testbed.links.base import Attachment

MTU_BYTES = 1500
# Packets that may wait for the relay while it is busy. The relay empties it at once, so that it is
# no part of the emulated queue; it only has to outlast the longest time for which the relay does
# not run.
TUN_RING_PACKETS = 10_000

KERNEL_RELAY = Path("/dev/tbtest-relay")
"""The relay as a device of the kernel, which only a guest in virtual time has."""

_TUNSETIFF = 0x400454CA  # linux/if_tun.h
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_RELAY_ATTACH = 0x40107401  # relay/kernel/requests.h
_TC_H_ROOT = 0xFFFFFFFF


def open_end(end: Attachment) -> int:
    """Creates the interface of a relay's end in its namespace, ready for packets; it lives as long
    as the returned descriptor. It is a TUN device, or where the kernel has the relay one of its.

    Raises UserError.
    """
    if KERNEL_RELAY.exists():
        path, number = str(KERNEL_RELAY), _RELAY_ATTACH
        request = struct.pack("16s", end.ifname.encode())
    else:
        path, number = "/dev/net/tun", _TUNSETIFF
        request = struct.pack("16sH22x", end.ifname.encode(), _IFF_TUN | _IFF_NO_PI)
    with end.netns.inside():
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; try 'modprobe tun'") from error
        try:
            fcntl.ioctl(fd, number, request)
        except OSError as error:
            os.close(fd)
            raise UserError(
                f"cannot create the interface {end.ifname}: {error.strerror}"
            ) from error
    try:
        configure(end, txqlen=TUN_RING_PACKETS, qdisc="noqueue")
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_veth(a: Attachment, b: Attachment, txqlen: int) -> None:
    """Creates a veth pair with an end in either namespace, ready for packets."""
    with a.netns.inside(), IPRoute() as ip:
        ip.link(
            "add", ifname=a.ifname, kind="veth", peer={"ifname": b.ifname, "net_ns_fd": b.netns.fd}
        )
    for end in (a, b):
        configure(end, txqlen)


def remove(end: Attachment) -> None:
    """Deletes the interface, and its peer if it has one."""
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=end.ifname)
        ip.link("del", index=index)


def configure(end: Attachment, txqlen: int, qdisc: str | None = None) -> None:
    """Gives the interface its MTU, address and queue length, turns offloads off and brings it
    up.
    """
    offloads_off(end.netns, end.ifname)
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=end.ifname)
        ip.link("set", index=index, mtu=MTU_BYTES, txqlen=txqlen)
        if qdisc is not None:
            ip.tc("replace", qdisc, index, handle=0, parent=_TC_H_ROOT)
        add_address(ip, index, end.address)
        ip.link("set", index=index, state="up")


def interface_drops(end: Attachment) -> int:
    """Packets that the kernel dropped before the link saw them."""
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=end.ifname)
        (message,) = ip.get_links(index)
        return int(message.get_attr("IFLA_STATS64")["tx_dropped"])


def describe(end: Attachment) -> str:
    """State read back, for the run's manifest: MTU, queue length, qdisc."""
    with end.netns.inside(), IPRoute() as ip:
        (index,) = ip.link_lookup(ifname=end.ifname)
        (message,) = ip.get_links(index)
        mtu, txqlen, qdisc = (message.get_attr(f"IFLA_{key}") for key in ("MTU", "TXQLEN", "QDISC"))
        return f"{end.ifname} mtu {mtu} txqueuelen {txqlen} qdisc {qdisc} segmentation offloads off"
