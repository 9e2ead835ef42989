"""Adaptive streaming over HTTP: a server on the sender's host, a player on the receiver's."""
