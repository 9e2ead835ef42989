"""The experiments of docs/experiments/, one command each: `python -m bench.experiments.apc|scale|pretrained`."""
