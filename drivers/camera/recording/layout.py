"""How a FrameSet lies in an MCAP file.

One frame is a run of messages that share a log time, `timestamp_ns`:

    /camera/calibration   foxglove.CameraCalibration (protobuf): the intrinsics
    /camera/ir            foxglove.RawImage (protobuf): mono8 or mono16
    /camera/ambient       the same, where the frame has one
    /camera/dots          the same, where the frame has one
    /camera/depth         foxglove.RawImage: 32FC1, millimetres, NaN where unknown
    /camera/frame         tessera.FrameRecord (JSON): everything else, and which images belong to it

`/camera/frame` comes last: a frame is whole exactly when its record is there. `/session` and `/truth` (`session.py`)
stand between frames. Every message is a chunk of its own, zstd, with a CRC, so a file cut anywhere keeps every whole
frame before the cut. Values pass through bit for bit. Times are the terminal's monotonic clock: a viewer shows them as
a date near 1970. docs/recording.md says all this to whoever writes such a file with another program.
"""

import math
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from drivers.camera.interface import CameraInfo, Emitter, FrameSet, Intrinsics
from drivers.camera.recording.schemas import CameraCalibration, RawImage

PROFILE = "tessera"
CONSENT = "tessera.consent"  # name of the metadata record; its one key is `consent`
MAX_CONSENT_CHARS = 1024
CALIBRATION, FRAME = "/camera/calibration", "/camera/frame"
Image = Literal["ir", "ambient", "dots", "depth"]
IMAGES: tuple[Image, ...] = ("ir", "ambient", "dots", "depth")
ENCODINGS: dict[str, np.dtype[Any]] = {"mono8": np.dtype("u1"), "mono16": np.dtype("<u2"), "32FC1": np.dtype("<f4")}
MAX_SIDE_PX = 2048
MAX_MESSAGE_BYTES = MAX_SIDE_PX * MAX_SIDE_PX * 4 + 4096  # a depth image and its header
MAX_CALIBRATION_BYTES = 4096

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

_OPTICAL_FRAME = "camera"
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


class FrameRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a FrameSet says besides its images and intrinsics; `images` lists those recorded with it."""

    sequence: Count
    timestamp_ns: Count
    emitter: Emitter
    exposure_us: int
    gain: float
    camera: CameraInfo
    images: tuple[Image, ...]


def topic(image: str) -> str:
    """Return the topic of one of `IMAGES`."""
    return f"/camera/{image}"


def record_schema() -> bytes:
    """Return the JSON Schema of FrameRecord, with an object at its root as viewers expect."""
    _, parts = msgspec.json.schema_components([FrameRecord], ref_template="#/$defs/{name}")
    return msgspec.json.encode(parts.pop("FrameRecord") | {"$defs": parts})


def images_of(frames: FrameSet) -> dict[Image, NDArray[Any]]:
    """Return the images a FrameSet has, in the order of `IMAGES`."""
    every: dict[Image, NDArray[Any] | None] = {
        "ir": frames.ir,
        "ambient": frames.ambient,
        "dots": frames.dots,
        "depth": frames.depth_mm,
    }
    return {name: image for name, image in every.items() if image is not None}


def encode_image(image: NDArray[Any], timestamp_ns: int) -> bytes:
    """Encode an (H, W) uint8, uint16 or float32 image as foxglove.RawImage."""
    encoding = next(name for name, dtype in ENCODINGS.items() if dtype == image.dtype)
    height, width = image.shape
    message = RawImage(
        frame_id=_OPTICAL_FRAME, width=width, height=height, encoding=encoding, step=width * image.itemsize
    )
    message.timestamp.FromNanoseconds(timestamp_ns)
    message.data = image.tobytes()
    data: bytes = message.SerializeToString()
    return data


def decode_image(data: bytes, shape: tuple[int, int]) -> NDArray[Any]:
    """Decode a foxglove.RawImage of `shape` (H, W); the result is read-only.

    Raises:
        ValueError, or protobuf's DecodeError.
    """
    message = RawImage.FromString(data)
    dtype = ENCODINGS.get(message.encoding)
    if dtype is None:
        raise ValueError(f"image encoding {message.encoding!r} is none of {', '.join(ENCODINGS)}")
    step = message.width * dtype.itemsize
    if (message.height, message.width) != shape or message.step != step or len(message.data) != step * message.height:
        raise ValueError(f"image of {message.width}x{message.height} has {len(message.data)} bytes, expected {shape}")
    return np.frombuffer(message.data, dtype).reshape(shape)


def encode_calibration(intrinsics: Intrinsics, timestamp_ns: int) -> bytes:
    """Encode the pinhole model as foxglove.CameraCalibration, without distortion."""
    i = intrinsics
    message = CameraCalibration(
        frame_id=_OPTICAL_FRAME, width=i.width, height=i.height, distortion_model="plumb_bob", D=[0.0] * 5, R=_IDENTITY
    )
    message.timestamp.FromNanoseconds(timestamp_ns)
    message.K.extend((i.fx, 0.0, i.cx, 0.0, i.fy, i.cy, 0.0, 0.0, 1.0))
    message.P.extend((i.fx, 0.0, i.cx, 0.0, 0.0, i.fy, i.cy, 0.0, 0.0, 0.0, 1.0, 0.0))
    data: bytes = message.SerializeToString()
    return data


def decode_calibration(data: bytes) -> Intrinsics:
    """Decode a foxglove.CameraCalibration without distortion. Raises ValueError, or protobuf's DecodeError."""
    message = CameraCalibration.FromString(data)
    if len(message.K) != 9 or any(message.D):
        raise ValueError("calibration is not a plain pinhole model")
    fx, _, cx, _, fy, cy, *_ = message.K
    intrinsics = Intrinsics(width=message.width, height=message.height, fx=fx, fy=fy, cx=cx, cy=cy)
    check_intrinsics(intrinsics)
    return intrinsics


def check_intrinsics(intrinsics: Intrinsics) -> None:
    """Raise ValueError for a geometry that no camera has."""
    i = intrinsics
    if not (0 < i.width <= MAX_SIDE_PX and 0 < i.height <= MAX_SIDE_PX):
        raise ValueError(f"images of {i.width}x{i.height} px: at most {MAX_SIDE_PX} a side")
    if not (i.fx > 0 and i.fy > 0 and all(map(math.isfinite, (i.fx, i.fy, i.cx, i.cy)))):
        raise ValueError(f"a pinhole with fx {i.fx}, fy {i.fy}, cx {i.cx}, cy {i.cy} px")
