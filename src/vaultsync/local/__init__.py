"""The folder: scanned, watched, and written so that nothing in it can be lost."""
