"""The suites of standards for the default comparison: the page that is published."""
