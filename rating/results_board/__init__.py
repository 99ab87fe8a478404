"""What the coordinator sees on the Results tab, and what its buttons do."""
