"""How this project starts Python processes of its own."""

import sys


def python_command(module: str, *arguments: object) -> list[str]:
    """The command line of ``python -m module arguments...``.

    -P keeps the working directory off the import path: a policy.py or numpy.py that lies in the
    user's folder is never taken for the installed one, nor run as root.
    """
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]
