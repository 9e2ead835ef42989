"""Training of policies for adaptive bitrate streaming, on simulated sessions."""
