"""Policies in processes of their own: the server's process keeps its interpreter for streams and
for rule policies.
"""
