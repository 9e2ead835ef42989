"""Sender side: the eBPF datapath, the agent that streams its records and applies answers."""
