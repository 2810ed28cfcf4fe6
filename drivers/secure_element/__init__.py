"""Secure elements: one interface, found by entry point `tessera.secure_elements`."""
