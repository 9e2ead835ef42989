"""Rule policies, a file each: compiled functions from a cluster to (stage, executors)."""
