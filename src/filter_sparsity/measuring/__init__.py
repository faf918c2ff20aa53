"""From runs to records."""
