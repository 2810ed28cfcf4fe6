"""The workshop: measures activation ranges, agreement and score calibrations. May use `hil` and `firmware`."""
