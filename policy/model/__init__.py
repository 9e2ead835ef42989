"""NIOKA: a pretrained language model as the policy's decision maker, its controls and its inference
engine.
"""
