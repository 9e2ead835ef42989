"""The datapath without BPF or root: TCP_INFO read, pacing capped."""
