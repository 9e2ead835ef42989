"""Which processor a guest gets."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from testbed.virtual.processor import own_processor


def test_guests_share_no_processor(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    with ExitStack() as stack:
        given = [stack.enter_context(own_processor(tmp_path)) for _ in allowed]
        assert sorted(number for number in given if number is not None) == sorted(allowed)
        with own_processor(tmp_path) as further:
            assert further is None
    with own_processor(tmp_path) as freed:
        assert freed == min(allowed)
