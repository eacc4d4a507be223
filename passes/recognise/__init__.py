"""What stands in a graph, read without changing it."""
