"""``python -m testbed`` is ``tbtest``."""

from testbed.cli import main

main()
