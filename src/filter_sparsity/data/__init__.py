"""From original data to prepared data."""
