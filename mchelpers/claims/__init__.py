"""What the papers say, and the verdict on it: entries of ``claims.yml`` held against results."""
