"""What this machine can and cannot do, one probe per row of `tbtest doctor`."""

from testbed.doctor.finding import Finding, State
from testbed.doctor.probes import PROBES, examine

__all__ = ["PROBES", "Finding", "State", "examine"]
