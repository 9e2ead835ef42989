"""Web traffic: see `testbed.traffic.web`."""

from __future__ import annotations

from testbed.traffic.base import FlowSpec
from testbed.traffic.process import main
from testbed.traffic.web.options import WebOptions


class Web:
    """See TrafficKind."""

    name = "web"
    module = "testbed.traffic.web.kind"
    options_model = WebOptions

    def finish(self, spec: FlowSpec) -> None:
        """The logs are in their final schema already."""


KIND = Web()


def _send(spec: FlowSpec) -> None:
    from testbed.traffic.web.server import serve

    serve(spec)


def _receive(spec: FlowSpec) -> None:
    from testbed.traffic.web.client import fetch

    fetch(spec)


if __name__ == "__main__":
    main(sender=_send, receiver=_receive)
