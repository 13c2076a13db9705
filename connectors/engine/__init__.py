"""The declarative engine: from a compiled manifest and a query to canonical records. ``connector`` is its door."""
