"""A user's own traffic kind, by ``path/to/file.py:Class``: a TCP flow that is greedy whenever the
class says so.

The class has ``is_on(elapsed_ns) -> bool``; it is built with the flow's options and seed. Naming
the file runs it.
"""

from __future__ import annotations

from typing import Any, Protocol

from plugins import load_class, place
from testbed.errors import UserError
from testbed.traffic.base import FlowSpec, Options
from testbed.traffic.process import main
from testbed.traffic.stream import receive, send


class Sending(Protocol):
    """What a user's class must have, besides a constructor of ``(options, seed)``.

    It may have ``options_model``, a `testbed.traffic.base.Options` of its own.
    """

    def is_on(self, elapsed_ns: int) -> bool:
        """Whether the flow sends at a time, ns since its start, never decreasing."""


class OwnKind:
    """See TrafficKind."""

    module = "testbed.traffic.own"

    def __init__(self, reference: str) -> None:
        """Raises UserError in one line."""
        self._class: type[Any] = load_class(reference, Sending, "traffic", UserError)
        self._file = reference.rpartition(":")[0]
        self.name = reference.rpartition("/")[2]
        self.options_model: type[Options] = getattr(self._class, "options_model", Options)
        if not (isinstance(self.options_model, type) and issubclass(self.options_model, Options)):
            raise UserError(
                f"traffic {self.name}: options_model must derive from tbtest.FlowOptions"
            )

    def finish(self, spec: FlowSpec) -> None:
        """The logs are in their final schema already."""

    def send(self, spec: FlowSpec) -> None:
        """The sender's end. Raises UserError naming the line where the user's class fails."""
        try:
            sending: Sending = self._class(
                self.options_model.model_validate(spec.options), spec.seed
            )
        except Exception as error:
            raise self._failed(error) from error

        def is_on(elapsed_ns: int) -> bool:
            try:
                return bool(sending.is_on(elapsed_ns))
            except Exception as error:
                raise self._failed(error) from error

        send(spec, is_on)

    def _failed(self, error: Exception) -> UserError:
        first = next(iter(str(error).splitlines()), "")
        return UserError(f"{place(error, self._file)}: {type(error).__name__}: {first}")


if __name__ == "__main__":
    main(sender=lambda spec: OwnKind(spec.kind).send(spec), receiver=receive)
