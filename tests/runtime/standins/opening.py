"""A child that beats, asks for time, and takes it; then it beats again and hangs."""

import signal

from firmware.runtime import child

TAKEN_S = 1.0

process = child.start("opening")
process.heartbeat.beat()
process.log.info("takes its time")
process.heartbeat.ask_for_time()
process.stop.wait(TAKEN_S)
process.heartbeat.beat()
process.log.info("is open, and hangs")
signal.sigwait({signal.SIGUSR2})
