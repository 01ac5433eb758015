"""The commands: the only room that prints, prompts or sets an exit code."""
