"""Offline training: experience dataset, hindsight labels, trainer and model cards."""
