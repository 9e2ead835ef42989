"""Proofs and figures of adaptive bitrate streaming."""
