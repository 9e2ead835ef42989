"""The project's own targets and proofs, each one command."""
