"""The relay's disciplines against functions of the kernel's own source, in one program."""
