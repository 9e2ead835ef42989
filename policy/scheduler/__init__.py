"""APC: which flows the rule policy answers and which the LLM does."""
