"""The experiments of docs/results/, one command each: `python -m
experiments.congestion.apc|scale|pretrained`.
"""
