"""Network tasks, a folder each; `registry` knows them by name."""
