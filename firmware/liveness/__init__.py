"""Frames in, evidence of life out, cue by cue, each with a value, a limit and a reason."""
