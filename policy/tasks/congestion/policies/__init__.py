"""Light policies: rules that answer at once, vectorised over flows; one per file, without torch."""
