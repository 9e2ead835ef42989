"""Bandwidth traces: one model, a reader per format, seeded generators, a small bundled set."""
