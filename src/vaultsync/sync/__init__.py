"""The loop: observe, plan, execute, record."""
