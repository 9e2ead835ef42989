"""A headless Chromium of our own, with a profile in the run folder, ended with its flow."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from testbed.errors import UserError
from testbed.system.process import bound_argv

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # it runs as root, and loads our own page alone
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--mute-audio",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--autoplay-policy=no-user-gesture-required",
)
_END_S = 5.0


def find() -> str:
    """The path of Chromium. Raises UserError where there is none."""
    for name in _NAMES:
        path = shutil.which(name)
        if path:
            return path
    raise UserError(
        "there is no Chromium here; apt-get install chromium (dash traffic needs none with player "
        "set to headless)"
    )


def _apart(profile: Path) -> dict[str, str]:
    """Environment in which Chromium leaves the user's session bus, home and /tmp alone."""
    # Relative to the profile: the path of a socket in it must be short.
    return {"HOME": str(profile), "DBUS_SESSION_BUS_ADDRESS": "disabled:", "TMPDIR": "."}


class Browser:
    """A running Chromium that shows one page."""

    def __init__(self, url: str, profile: Path, flags: Sequence[str] = ()) -> None:
        """Starts it with ``flags`` beside the usual ones; ``profile`` is made, and removed by
        ``stop``. Paths in flags must be absolute, for it runs there. From the main thread only.
        """
        self._profile = profile = profile.absolute()
        profile.mkdir()
        self._log = profile / "browser.log"
        command = [find(), *_FLAGS, *flags, f"--user-data-dir={profile}", url]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                bound_argv(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=profile,
                env={**os.environ, **_apart(profile)},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raises UserError if it has ended."""
        status = self._process.poll()
        if status is not None:
            lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            raise UserError(f"the browser ended with status {status}: {last[:300]}")

    def stop(self) -> None:
        """End it with all that it started, and remove its profile."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            # Its processes share the session, whose number is the first one's.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        shutil.rmtree(self._profile, ignore_errors=True)
