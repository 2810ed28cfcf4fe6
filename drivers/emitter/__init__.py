"""The flood and dot board behind a serial line: frames, messages, the signed limit table, and the host's end."""
