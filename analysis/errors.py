"""The error of this package."""


class AnalysisError(ValueError):
    """A run folder that cannot be analysed. The message names the file and what is wrong with
    it.
    """
