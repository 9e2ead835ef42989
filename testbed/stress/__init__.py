"""Stress: failures, singly and all together, under policies and the kernel's controllers."""
