"""Adapters that ship with the kit; each is a module that imports its peer, and is imported only when it is named."""
