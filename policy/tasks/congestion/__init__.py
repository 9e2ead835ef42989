"""Congestion control: what is observed, decided, learned and simulated."""
