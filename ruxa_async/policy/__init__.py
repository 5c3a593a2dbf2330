"""What we decide: whether, when, how fast; nothing here waits, has a clock or rolls dice."""
