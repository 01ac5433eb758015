"""Every state that one, two or three paths can be in, each carried to rest by the real engine.

`python -m tests.sync.exhaustive --paths 3` goes through what takes too long for every test run.
"""
