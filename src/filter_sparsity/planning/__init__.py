"""From configuration to plan."""
