"""What grids of live runs share: axes, source traces, ids and seeds, and where the runs go."""
