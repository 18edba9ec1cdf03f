"""The tables that are compared: ours and the peers', all with one interface, and the check that they do the same work."""
