"""Hardware: cameras, neural processors, secure elements. Knows nothing of faces or payments."""
