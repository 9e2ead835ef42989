"""Training on several tasks at once: samples of all of them in every optimiser step."""
