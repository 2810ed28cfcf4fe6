"""What runs on the board: frames in, one signed authorization out."""
