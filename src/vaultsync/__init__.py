"""vaultsync keeps a folder and a private S3 prefix the same."""

__version__ = "0.1.0"
