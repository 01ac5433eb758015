"""Whole devices against one vault, in a world whose every accident is drawn from a seed.

`world.run(seed)` plays one run: engines, databases and the S3 side's code are the real ones; the
network, the clock, the folders' disks and the people are played. `verdicts` says what must hold.
"""
