"""Cluster job scheduling: parameters of the rules, and who is better than whom."""
