"""Jobs of a cluster whose shuffles are real TCP: a master, and a worker at each end of a flow."""
