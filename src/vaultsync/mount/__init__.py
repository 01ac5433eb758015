"""The drive: the vault as a file system, on the same engine as the folder."""
