"""What this terminal did, in an append-only log that shows when it was tampered with. It knows no face and no name."""
