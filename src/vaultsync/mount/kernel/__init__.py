"""FUSE's wire protocol, spoken to the kernel."""
