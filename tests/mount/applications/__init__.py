"""Programs that people use, at work on a mounted drive."""
