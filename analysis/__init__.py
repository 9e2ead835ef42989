"""From a run folder to metrics, statistics and the report. Needs neither root nor the machine that
ran it.
"""
