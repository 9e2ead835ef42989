"""Run orchestration: plan the cells, run each in fresh namespaces, write the run folder."""
