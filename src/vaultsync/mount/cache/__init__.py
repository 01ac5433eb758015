"""The bytes of the drive's files, as far as they are here."""
