"""Measurements that are published in docs/performance.md, each with a command that repeats it."""
