"""Cases for a backend: `Case`, `Backend`, structures of lookups, their values, optimizer steps."""
