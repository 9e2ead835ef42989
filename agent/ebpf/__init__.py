"""The eBPF datapath: a struct_ops congestion controller (C), its loader, its ring buffer and its
command table.
"""
