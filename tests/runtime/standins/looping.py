"""An asyncio child, as `core` is."""

import asyncio

from firmware.runtime import child

asyncio.run(child.start("looping").beat_until_stopped())
