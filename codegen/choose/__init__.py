"""Which schedule a kernel gets: by formula, by the cost model, or by measuring."""
