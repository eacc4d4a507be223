"""Share loops among threads: one place that knows no rule, so that every rule takes part."""

from suture.codegen.parallel.share import parallelize, shared

__all__ = ["parallelize", "shared"]
