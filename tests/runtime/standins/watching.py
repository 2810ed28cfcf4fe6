"""A child with the reading end of the ring: it tells when a face comes and when it has been zeroed."""

import mmap
import os

from firmware.runtime import child

process = child.start("watching")
assert process.ring_fd is not None
memory = mmap.mmap(process.ring_fd, os.fstat(process.ring_fd).st_size, prot=mmap.PROT_READ)
seen: bool | None = None
while not process.stop.wait(0.01):
    process.heartbeat.beat()
    is_there = any(memory[:8192])
    if is_there != seen:
        process.log.info("face seen" if is_there else "ring zeroed")
    seen = is_there
