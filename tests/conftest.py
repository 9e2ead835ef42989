"""The tests send SIGINT and SIGHUP to processes they start; these must not inherit that they are
ignored.

A shell starts background jobs with SIGINT ignored, and nohup ignores SIGHUP. What is ignored stays
so in children.
"""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
