"""Names, metadata and the operations of a file system, over the database."""
