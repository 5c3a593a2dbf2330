"""What we decide: whether, when and how fast; nothing here waits, looks at a clock or rolls dice."""
