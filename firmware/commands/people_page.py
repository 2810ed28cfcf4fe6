"""What is kept of a person, as a page to be read: one file of HTML, without script, picture or link.

Rules kept here:
- It says what the JSON document says, all of it, and nothing else.
- Every word of it is escaped: a pseudonym is what somebody typed.
"""

from html import escape

import msgspec

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left;"
    "vertical-align:top;overflow-wrap:anywhere}th{width:30%;background:#f3f3f3;font-weight:normal}"
)


def page_of(document: bytes) -> bytes:
    """The page of an exported document (JSON), UTF-8."""
    kept = msgspec.json.decode(document, type=dict[str, object])
    title = f"What terminal {kept.get('terminal', '')} keeps of {kept.get('person', '')}"
    body = _value(kept)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    ).encode()


def _value(value: object) -> str:
    if isinstance(value, dict):
        rows = "".join(
            f"<tr><th>{escape(_words(str(name)))}</th><td>{_value(one)}</td></tr>" for name, one in value.items()
        )
        return f"<table>{rows}</table>"
    if isinstance(value, list):
        return "<br>".join(_value(one) for one in value) or "none"
    return escape(str(value)) or "none"


def _words(name: str) -> str:
    return name.replace("_", " ")
