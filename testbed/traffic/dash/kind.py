"""Dash traffic: a video in chunks over HTTP/1.1, each chunk at a level that the player chooses."""

from __future__ import annotations

from testbed.traffic.base import FlowSpec
from testbed.traffic.dash.options import DashOptions
from testbed.traffic.process import main


class Dash:
    """See TrafficKind."""

    name = "dash"
    module = "testbed.traffic.dash.kind"
    options_model = DashOptions

    def finish(self, spec: FlowSpec) -> None:
        """The logs are in their final schema already."""


KIND = Dash()


def _send(spec: FlowSpec) -> None:
    from testbed.traffic.dash.server import serve

    serve(spec)


def _receive(spec: FlowSpec) -> None:
    if spec.options.get("player") == "chromium":
        from testbed.traffic.dash import chromium

        chromium.play(spec)
    else:
        from testbed.traffic.dash import headless

        headless.play(spec)


if __name__ == "__main__":
    main(sender=_send, receiver=_receive)
