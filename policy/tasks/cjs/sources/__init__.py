"""Where jobs come from: measured profiles, a generator, and graphs of a production cluster."""
