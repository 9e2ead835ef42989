"""Mininet topologies, one per file."""
