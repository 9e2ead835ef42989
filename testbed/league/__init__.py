"""The league: schemes against each other over many scenarios, paired by trace, settings and
seed.
"""
