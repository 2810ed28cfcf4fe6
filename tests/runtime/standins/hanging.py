"""A child that beats once and then hangs, deaf to SIGTERM."""

import signal

from firmware.runtime import child

process = child.start("hanging")
process.heartbeat.beat()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
process.log.info("hangs from now on")
signal.sigwait({signal.SIGUSR2})
