"""What ships inside a package."""
