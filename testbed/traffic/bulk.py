"""Bulk traffic: one long TCP flow that always has data to send."""

from __future__ import annotations

from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.process import main
from testbed.traffic.stream import receive, send


class BulkOptions(Options):
    """Bulk traffic has no options."""


class Bulk:
    """See TrafficKind."""

    name = "bulk"
    module = "testbed.traffic.bulk"
    options_model = BulkOptions

    def finish(self, spec: FlowSpec) -> None:
        """The logs are in their final schema already."""


KIND = Bulk()

if __name__ == "__main__":
    main(sender=lambda spec: send(spec, lambda elapsed_ns: True), receiver=receive)
