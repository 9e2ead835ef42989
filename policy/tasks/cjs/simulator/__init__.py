"""The cluster simulator: compiled loops over arrays, and the class that holds them."""
