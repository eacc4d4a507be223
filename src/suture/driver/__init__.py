"""The whole way, from a task to packages and back from telemetry to a policy."""
