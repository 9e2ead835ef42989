"""The policy server: gRPC, streams of ACKs, and the core that decides."""
