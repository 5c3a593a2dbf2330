"""How Ruxa speaks: bytes to values and back; nothing here waits, looks at a clock or rolls dice."""
