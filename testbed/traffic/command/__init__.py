"""Any program as traffic: one command line per end, started in its host."""
