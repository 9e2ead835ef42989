"""Model tiers in processes of their own: the server's process keeps its interpreter for streams and
light decisions.
"""
