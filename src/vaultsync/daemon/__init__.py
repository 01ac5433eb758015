"""The service: the only room that builds the others and wires them together."""
