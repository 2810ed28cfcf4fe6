"""`tessera camera`: what is plugged in, whether it measures well, its calibration, and a look through it."""

import typer

from firmware.commands.camera_calibrate import calibrate
from firmware.commands.camera_check import check
from firmware.commands.camera_list import list_found
from firmware.commands.camera_watch import watch

camera = typer.Typer(help="Cameras and their calibration: list, check, calibrate, watch.", no_args_is_help=True)
camera.command("list")(list_found)
camera.command("check")(check)
camera.command("calibrate")(calibrate)
camera.command("watch")(watch)
