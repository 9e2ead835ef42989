"""Virtual time: a run's cells in a Linux guest whose clock skips ahead while nothing happens."""
