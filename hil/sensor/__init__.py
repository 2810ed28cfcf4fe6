"""The virtual sensor: what a flood-lit infrared camera with structured-light depth would see of a scene.

Constants are physics or a datasheet class, each with its source; what the pictures support and what they do not
is the project's word on simulation: geometry, noise limits, timing and faults, never an error rate of the real world.
"""
