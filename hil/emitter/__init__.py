"""The simulated flood and dot board: the driver's protocol from the other end of the line, with every fault it has."""
