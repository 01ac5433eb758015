"""The drive, seen by the kernel."""
