"""Segmentation offloads of an interface: off, and read back.

A 64 kB super-packet passes a queue as one packet and makes emulated rates, queues and losses wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroute2.ethtool.ioctl import IoctlEthtool

from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.system.netns import NetNs

_MERGING = ("segmentation", "-gro", "-gso", "-lro")  # parts of the kernel's feature names


def _merging(ethtool: IoctlEthtool) -> dict[str, bool]:
    return {
        name: active
        for name, active, available, _, _ in ethtool.get_features()
        if any(part in name for part in _MERGING) and (active or available)
    }


def read_offloads(netns: NetNs, ifname: str) -> dict[str, bool]:
    """Features by which the interface could join or split packets, by the kernel's names, and
    whether they are on.
    """
    with netns.inside():
        ethtool = IoctlEthtool(ifname)
        try:
            return _merging(ethtool)
        finally:
            ethtool.close()


def offloads_off(netns: NetNs, ifname: str) -> dict[str, bool]:
    """Turns every such feature off and returns the state read back. Raises UserError if one stays
    on.
    """
    with netns.inside():
        ethtool = IoctlEthtool(ifname)
        try:
            features = ethtool.get_features()
            for name in _merging(ethtool):
                features[name] = False
            ethtool.set_features(features)
            state = _merging(ethtool)
        finally:
            ethtool.close()
    still_on = [name for name, on in state.items() if on]
    if still_on:
        raise UserError(
            f"{ifname}: the kernel keeps {', '.join(still_on)} on; packets would pass in bundles"
        )
    return state
