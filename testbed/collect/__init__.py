"""Experience for training: many scenarios in parallel, folded into the dataset of `policy.training.schema`."""
