"""The harness: scenario, network, links, traffic, run orchestration and the command line."""
