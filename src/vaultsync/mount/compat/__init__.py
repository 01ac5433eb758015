"""The backend that speaks with the kernel through mfusepy and libfuse3."""
