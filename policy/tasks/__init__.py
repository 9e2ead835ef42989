"""Network tasks, a folder each; `registry` knows them by name, `base` says what a task is."""
