"""``python -m testbed`` is ``tbtest``."""

from testbed.cli import main

if __name__ == "__main__":  # not in processes that a command spawns
    main()
