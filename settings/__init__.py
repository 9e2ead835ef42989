"""What users write in YAML: read safely, and every mistake said in one line.

A leaf: every other package may import this one, and this one imports none of them.
"""

from settings.validation import first_mistake
from settings.yaml import SettingsError, parse_yaml, read_mapping

__all__ = ["SettingsError", "first_mistake", "parse_yaml", "read_mapping"]
