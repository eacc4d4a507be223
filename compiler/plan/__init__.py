"""From a task and a library to a chosen plan."""
