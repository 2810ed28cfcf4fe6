"""`tessera privacy`: impact assessment, public notice and retention schedule, filled from the configuration.

Rules kept here:
- The texts say what this software does; what only the controller can say is asked for by name, never made up.
- A figure stands with what it was measured on. What was simulated is called simulated, on every page.
- Nothing is asked of the running terminal, and no role is needed: all of it may be public.
"""

import hashlib
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from firmware.commands.login import ConfigOption
from firmware.commands.privacy_facts import KEPT, figures, key_destruction
from firmware.core.attempts import DELAY_S, FREE, STOP
from firmware.gallery.consent import ADULT_FROM, GUARDIAN_BELOW, ConsentError
from firmware.gallery.notice import notice_bytes
from firmware.runtime.config import Config, PrivacyConfig, Profile, is_played, load_config

privacy = typer.Typer(help="Impact assessment, public notice, retention schedule.", no_args_is_help=True)

_PLAYED = "**The camera of this terminal, and whoever stands before it, are simulated or played back.**\n\n"
OutOption = Annotated[Path | None, typer.Option("--out", help="Write to this file instead of the screen.")]


@privacy.command("report")
def report(config: ConfigOption, out: OutOption = None) -> None:
    """Print the impact assessment (Markdown), with what the controller has to add marked."""
    _put(filled("report", *load_config(config)), out)


@privacy.command("notice")
def notice(config: ConfigOption, out: OutOption = None) -> None:
    """Print the public notice (Markdown): read it, have it translated, and put it where `[privacy] notice` says."""
    _put(filled("notice", *load_config(config)), out)


@privacy.command("retention")
def retention(config: ConfigOption, out: OutOption = None) -> None:
    """Print what is kept, where, for how long and why, for the public (Markdown)."""
    _put(filled("retention", *load_config(config)), out)


def filled(text: str, config: Config, profile: Profile) -> str:
    """The text `report`, `notice` or `retention`, filled in.

    Raises:
        ConsentError: `no_notice`: nobody answers for this terminal.
        CalibrationError: its scores' meaning cannot be read.
    """
    if config.privacy is None:
        raise ConsentError("no_notice", "The configuration has no [privacy]: who answers for this terminal?")
    template = Template((files("firmware.commands") / f"privacy_{text}.md").read_text())
    return template.substitute(_facts(config, profile, config.privacy))


def _facts(config: Config, profile: Profile, privacy: PrivacyConfig) -> dict[str, str]:
    return {
        "controller": privacy.controller,
        "contact": privacy.contact,
        "other_way": privacy.other_way,
        "terminal": config.terminal,
        "profile": profile.name,
        "version": privacy.notice_version,
        "in_force": _in_force(privacy),
        "languages": ", ".join(privacy.languages),
        "time_zone": privacy.time_zone,
        "days": str(privacy.retention_days),
        "guardian_below": str(GUARDIAN_BELOW),
        "adult_from": str(ADULT_FROM),
        "free_tries": str(FREE),
        "delay_s": f"{DELAY_S:g}",
        "stop_tries": str(STOP),
        "element": config.secure_element.backend,
        "key_destruction": key_destruction(config.secure_element),
        "kept": "\n".join(kept.row(privacy.retention_days) for kept in KEPT),
        "figures": figures(config, profile),
        "motion": _motion(profile),
        "played": _PLAYED if is_played(config.camera.source, config.camera.options) else "",
    }


def _in_force(privacy: PrivacyConfig) -> str:
    try:
        digest = hashlib.sha256(notice_bytes(privacy)).hexdigest()
    except ConsentError:
        return f"**missing** (`{Path(privacy.notice).name}`): until it is there nobody can be enrolled"
    return f"`{Path(privacy.notice).name}`, SHA-256 `{digest}`"


def _motion(profile: Profile) -> str:
    if profile.require_assurance == "dynamic":
        return "A payment also needs a movement of the face that nothing rigid makes."
    return (
        f"**Profile `{profile.name}` takes a face without a movement, unless the payment asks for one; a rigid head "
        "of the right size and brightness may then pass. It is for demonstration and test.**"
    )


def _put(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
