"""Suites: the cases of a standard as scenarios with expectations, and a page of how controllers do
in them. The cases are files in ``cases/``, a folder for each suite.
"""
