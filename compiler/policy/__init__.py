"""Which plan to run for which request, and learning it."""
