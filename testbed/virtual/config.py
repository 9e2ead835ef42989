"""What the guest's kernel is configured with. Pure.

The kernel starts from ``allnoconfig``: all that is not listed is off, which is what makes it build
in minutes.
"""

from __future__ import annotations

import hashlib

HZ = 250
"""Timer ticks per second, as in Debian's and Ubuntu's kernels: TCP counts its retransmission timers
in them. User-Mode Linux itself has 100.
"""

_CORE = (
    "64BIT EXPERT UML_TIME_TRAVEL_SUPPORT HIGH_RES_TIMERS NO_HZ_IDLE POSIX_TIMERS PRINTK BUG "
    "MULTIUSER NULL_CHAN UNIX98_PTYS BINFMT_ELF BINFMT_SCRIPT FUTEX EPOLL SIGNALFD TIMERFD EVENTFD "
    "AIO SHMEM MEMFD_CREATE ADVISE_SYSCALLS MEMBARRIER FILE_LOCKING INOTIFY_USER SYSVIPC MODULES "
    "NAMESPACES UTS_NS IPC_NS USER_NS PID_NS NET_NS"
)
_FILES = "PROC_FS SYSFS TMPFS TMPFS_XATTR DEVTMPFS HOSTFS"
_NETWORK = (
    "NET PACKET UNIX INET INET_DIAG INET_TCP_DIAG IP_ADVANCED_ROUTER IP_MULTIPLE_TABLES NETDEVICES "
    "NET_CORE DUMMY VETH TUN BRIDGE"
)
_CONTROLLERS = (
    "TCP_CONG_ADVANCED TCP_CONG_CUBIC TCP_CONG_BBR TCP_CONG_DCTCP TCP_CONG_VEGAS TCP_CONG_HTCP "
    "TCP_CONG_ILLINOIS TCP_CONG_WESTWOOD DEFAULT_CUBIC"
)
_QDISCS = (
    "NET_SCHED NET_SCH_HTB NET_SCH_TBF NET_SCH_NETEM NET_SCH_FQ NET_SCH_CODEL NET_SCH_FQ_CODEL "
    "NET_SCH_PIE NET_SCH_CAKE"
)
REQUIRED = tuple(" ".join((_CORE, _FILES, _NETWORK, _CONTROLLERS, _QDISCS)).split())
"""Options that the built kernel must have."""
WISHED = ("SYSCTL", "PROC_SYSCTL", "PREEMPT_NONE", "NET_SCH_DUALPI2", "INIT_STACK_NONE")
"""Options that only some versions of Linux know, by these names."""


def fragment() -> str:
    """The options, in the form of a .config."""
    return "".join(f"CONFIG_{name}=y\n" for name in (*REQUIRED, *WISHED))


def top_kconfig(own: str) -> str:
    """The kernel's top Kconfig file, whose text is ``own``, with our HZ before all that it sources:
    of several defaults of an option the first counts, so HZ is set without a change to the source.
    """
    head, source, rest = own.partition("\nsource ")
    return f"{head}\n\nconfig HZ\n\tint\n\tdefault {HZ}\n{source}{rest}"


def configuration_sha256() -> str:
    """What identifies the configuration, in manifests and as a part of a kernel's name in the
    cache.
    """
    return hashlib.sha256(f"{fragment()}CONFIG_HZ={HZ}\n".encode()).hexdigest()


def lacking(dot_config: str) -> list[str]:
    """The required options that the text of a .config does not have."""
    present = {line for line in dot_config.splitlines() if line.endswith("=y")}
    lines = {f"CONFIG_{name}=y" for name in REQUIRED} | {f"CONFIG_HZ={HZ}"}
    present |= {line for line in dot_config.splitlines() if line.startswith("CONFIG_HZ=")}
    return sorted(line.removeprefix("CONFIG_").removesuffix("=y") for line in lines - present)
