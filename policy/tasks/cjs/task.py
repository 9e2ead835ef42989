"""Cluster job scheduling as a task of the registry."""

from __future__ import annotations

from policy.tasks.base import Task


class CjsTask(Task):
    """README.md of this folder describes observation, action and reward."""

    name = "cjs"
    about = "cluster job scheduling: the next stage to run, and on how many executors"
