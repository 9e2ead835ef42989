"""The policy server's one error for what a user can put right."""


class PolicyError(ValueError):
    """A problem the user can solve; the message names the thing, its value and the remedy."""
