"""The prefix: list, get, conditional put and delete, multipart, behind one narrow transport."""
