"""Experience for training: many scenarios in parallel, folded into the dataset of
`policy.tasks.congestion.schema`.
"""
