"""Live video over TCP as real-time services send it: encoder, sender's queue, wire format, jitter
buffer.
"""
