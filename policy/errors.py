"""The policy server's one error for what a user can put right."""


class PolicyError(ValueError):
    """A problem the user can solve; the message names the thing, its value and the remedy."""


class NoDecision(RuntimeError):  # noqa: N818
    """A policy gave no usable answer to a batch. It has said so in the log, once."""
