"""The relay's queue disciplines against the kernel's own, in virtual time."""
