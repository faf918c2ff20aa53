"""From prepared data to runs."""
