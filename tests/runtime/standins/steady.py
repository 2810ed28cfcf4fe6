"""A child that beats until it is told to stop."""

from firmware.runtime import child

process = child.start("steady")
while not process.stop.wait(0.05):
    process.heartbeat.beat()
