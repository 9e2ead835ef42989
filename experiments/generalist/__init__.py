"""One policy for three tasks: docs/results/generalist.md."""
