"""The error of this package."""


class AnalysisError(ValueError):
    """A run folder, log or capture that cannot be used; the message names the file and the reason."""
