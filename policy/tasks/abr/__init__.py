"""Adaptive bitrate streaming: the environment, its rules, and learned policies; see README.md
here.
"""
