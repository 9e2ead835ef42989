"""The users' own code, by `path/to/file.py:Class`: one loader for every kind of part.

A leaf: every other package may import this one, and this one imports none of them.
"""

from plugins.loader import PluginError, absolute, is_reference, load_class, place

__all__ = ["PluginError", "absolute", "is_reference", "load_class", "place"]
