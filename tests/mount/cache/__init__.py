"""The cache, without a tree or a kernel."""
