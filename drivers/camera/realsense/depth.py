"""From a RealSense depth count to millimetres. Needs no librealsense, so that the rig can round as the driver does."""

import numpy as np
from numpy.typing import NDArray


def depth_table(unit_um: int) -> NDArray[np.float32]:
    """Return the millimetres each of the 65,536 counts stands for: (65536,) float32, NaN for 0 (unknown).

    Args:
        unit_um: the device's depth unit in whole micrometres, as librealsense sets it (100 here, 1000 by default).
    """
    table = (np.arange(65536) * (unit_um / 1000)).astype(np.float32)
    table[0] = np.nan
    table.flags.writeable = False
    return table
