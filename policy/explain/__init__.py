"""Why a policy decided as it did: attribution, counterfactuals, and a tree in its place."""
