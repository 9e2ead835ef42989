"""Links shaped by the kernel's queueing disciplines."""
