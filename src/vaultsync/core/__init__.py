"""Every decision, and nothing else: no I/O, no clock, no threads."""
