"""Virtual time held against a live machine, and what it costs."""
