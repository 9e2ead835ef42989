"""Cluster job scheduling: jobs as graphs of stages, a simulator of the cluster, and rule
policies.
"""
