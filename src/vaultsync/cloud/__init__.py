"""The backend of a vault: deploy it, read its outputs, or run one on this machine."""
