"""Call traffic: a video call between two headless Chromiums, one-way, from sender to receiver."""

from __future__ import annotations

import time

from testbed.errors import UserError
from testbed.traffic.base import FlowSpec
from testbed.traffic.browser import Browser
from testbed.traffic.call.camera import film
from testbed.traffic.call.desk import Desk
from testbed.traffic.call.logs import Log, merge
from testbed.traffic.call.options import CallOptions
from testbed.traffic.process import Interval, Terminated, await_start, main

_LOAD_S = 28.0  # until the page is there: less than a run waits for its flows
_SLICE_S = 0.05
_LAST_REPORT_S = 1.5  # after the end, for what the pages have seen and not yet told
_FLAGS = (
    # A host's own address in the offer, and not a name that only multicast DNS resolves.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


class Call:
    """See TrafficKind."""

    name = "call"
    module = "testbed.traffic.call.kind"
    options_model = CallOptions

    def finish(self, spec: FlowSpec) -> list[str] | None:
        """What both ends saw becomes ``frames-<flow>.parquet`` and ``call-<flow>.parquet``."""
        if merge(spec.log_dir, spec.flow):
            return None
        return ["the call sent no picture: it was not set up in time"]


KIND = Call()


def send(spec: FlowSpec) -> None:
    """Film, and call at the flow's start. Raises UserError, OSError."""
    options = CallOptions.model_validate(spec.options)
    path = spec.log_dir / f"camera-{spec.flow}.y4m"
    film(path, options.width, options.height, options.fps, spec.seed)
    try:
        partner = (spec.receiver_address, spec.receiver_port)
        _talk(
            spec,
            "sender",
            [*_FLAGS, f"--use-file-for-fake-video-capture={path.absolute()}"],
            partner,
        )
    finally:
        path.unlink(missing_ok=True)


def receive(spec: FlowSpec) -> None:
    """Take the call. Raises UserError, OSError."""
    _talk(spec, "receiver", list(_FLAGS), None)


def _talk(spec: FlowSpec, end: str, flags: list[str], partner: tuple[str, int] | None) -> None:
    terminated = Terminated()
    log = Log(spec.flow, end)
    until_ns = 0
    options = CallOptions.model_validate(spec.options)
    desk = Desk({"role": end, **options.model_dump()}, log.hear, partner)
    try:
        browser = Browser(desk.url, spec.log_dir / f"profile-{end}-{spec.flow}", flags)
        try:
            _await_page(desk, browser, terminated)
            if partner is None:
                desk.open(spec.receiver_address, spec.receiver_port)
            interval = await_start(terminated)
            if interval is not None:
                until_ns = interval.stop_ns
                if partner is not None:
                    desk.go.set()
                _watch(desk, browser, interval, terminated)
        finally:
            browser.stop()
    finally:
        desk.close()
        log.write(spec.log_dir, until_ns)


def _await_page(desk: Desk, browser: Browser, terminated: Terminated) -> None:
    deadline = time.monotonic() + _LOAD_S
    while not desk.loaded.wait(_SLICE_S) and not terminated:
        _check(desk, browser)
        if time.monotonic() > deadline:
            raise UserError(f"call: no page after {_LOAD_S:g} s; the machine may be too busy")


def _watch(desk: Desk, browser: Browser, interval: Interval, terminated: Terminated) -> None:
    until_ns = interval.stop_ns + round(_LAST_REPORT_S * 1e9)
    while not terminated and time.monotonic_ns() < until_ns:
        _check(desk, browser)
        time.sleep(_SLICE_S)


def _check(desk: Desk, browser: Browser) -> None:
    browser.check()
    if desk.failed:
        raise UserError(f"call: the page failed: {desk.failed}")


if __name__ == "__main__":
    main(sender=send, receiver=receive)
