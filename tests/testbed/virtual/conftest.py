"""A kernel for virtual time, where one is cached."""

from __future__ import annotations

import pytest

from testbed.virtual import kernel
from testbed.virtual.kernel import Kernel


@pytest.fixture(scope="session")
def cached() -> Kernel:
    """Skips, saying so, where none is: building one takes minutes."""
    found = kernel.cached()
    if found is None:
        pytest.skip("no kernel for virtual time is cached; `tbtest run --virtual` builds one")
    return found
