"""Web traffic: short transfers with random arrivals and heavy-tailed sizes."""
