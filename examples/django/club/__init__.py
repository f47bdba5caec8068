"""A club that plans what to grow."""
