"""Server side: protocol, APC scheduler, light policies, NIOKA model, engine and training."""
