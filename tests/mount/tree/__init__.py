"""The tree, without a kernel or a vault."""
