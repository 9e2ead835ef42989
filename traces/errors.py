"""The error of this package."""


class TraceError(ValueError):
    """A trace that cannot be read, built or written; the message names the place and the remedy."""
