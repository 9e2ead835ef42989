"""The user-space relay: follows a trace packet by packet."""
