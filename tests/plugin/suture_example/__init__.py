"""A pass and a cost model for suture."""
