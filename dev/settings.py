"""Writes what the tap says of itself into meltano.yml, plugin.yaml and the README.

The tap's own `--about` is the one source of its settings and capabilities. In meltano.yml and the
README they stand between markers; plugin.yaml has no comments, for Meltano would copy them into the
projects of those who add the tap. Run it after a setting has changed: `python dev/settings.py`.
With `--check` nothing is written: a difference is printed, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent


class Property(TypedDict, total=False):
    """A setting as the tap declares it: JSON schema, and `secret`."""

    type: list[str]
    format: str
    items: Property
    title: str
    description: str
    default: object
    enum: list[str]
    secret: bool


class Schema(TypedDict):
    """The settings by name."""

    properties: dict[str, Property]
    required: list[str]


class About(TypedDict):
    """The parts of the tap's `--about` that are used here."""

    capabilities: list[str]
    settings: Schema


def about() -> About:
    """Ask the tap about itself, by its command line.

    Raises:
        subprocess.CalledProcessError: when the tap does not answer.
    """
    command = [sys.executable, "-m", "tap_zoom_cc", "--about", "--format=json"]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return cast("About", json.loads(result.stdout))


def kind(declared: Property) -> str:
    """Return Meltano's kind of a setting.

    A `string` is handed to the tap as it is, and the tap reads it and says what is wrong. Of other
    kinds Meltano 4.4.1 reads texts itself: a wrong list, number or option is a traceback that names
    no setting, a wrong boolean is false, and a date is guessed. An object has to be one for Meltano
    too, or `meltano config set` could not set a part of it.
    """
    return "object" if json_type(declared) == "object" else "string"


def json_type(declared: Property) -> str:
    """Return the setting's type in JSON; that it may be left out (null) says nothing of it."""
    return next(name for name in declared["type"] if name != "null")


def meltano_setting(name: str, declared: Property) -> dict[str, object]:
    """Return a setting as meltano.yml and MeltanoHub write it."""
    setting: dict[str, object] = {
        "name": name,
        "label": declared["title"],
        "kind": kind(declared),
        "description": " ".join(declared["description"].split()),
    }
    if declared.get("secret"):
        setting["sensitive"] = True
    if "default" in declared:
        setting["value"] = declared["default"]
    return setting


def readme_row(name: str, declared: Property, *, required: bool) -> str:
    """Return a setting as a row of the README's table."""
    if "enum" in declared:
        type_ = " or ".join(f"`{value}`" for value in declared["enum"])
    elif declared.get("format") == "date-time":
        type_ = "date or date-time"
    elif "items" in declared:
        type_ = f"array of {json_type(declared['items'])}"
    else:
        type_ = json_type(declared)
    default = ""
    if "default" in declared:
        value = declared["default"]
        default = f"`{value if isinstance(value, str) else json.dumps(value)}`"
    description = " ".join(declared["description"].split())
    if declared.get("secret"):
        description += " Secret."
    return f"| `{name}` | {type_} | {'required' if required else default} | {description} |"


def as_yaml(value: Mapping[str, object], *, sort_keys: bool = False) -> str:
    """Return a mapping as YAML."""
    return yaml.safe_dump(dict(value), sort_keys=sort_keys, allow_unicode=True, width=98)


def own_settings(schema: Schema) -> dict[str, Property]:
    """Return the settings of this tap alone: the SDK's follow them, stream maps first."""
    names = list(schema["properties"])
    return {name: schema["properties"][name] for name in names[: names.index("stream_maps")]}


def meltano_yml(document: str, tap: About) -> str:
    """Return meltano.yml with the tap's capabilities and settings."""
    properties = tap["settings"]["properties"]
    settings = [meltano_setting(name, declared) for name, declared in properties.items()]
    document = fill(document, "capabilities", as_yaml({"capabilities": tap["capabilities"]}))
    return fill(document, "settings", as_yaml({"settings": settings}))


def plugin_yaml(document: str, tap: About) -> str:
    """Return plugin.yaml with the tap's capabilities and settings, keys sorted as the hub asks."""
    properties = tap["settings"]["properties"]
    plugin = yaml.safe_load(document)
    plugin["capabilities"] = sorted(tap["capabilities"])
    plugin["settings"] = [meltano_setting(name, declared) for name, declared in properties.items()]
    return as_yaml(plugin, sort_keys=True)


def readme(document: str, tap: About) -> str:
    """Return the README with the table of the tap's own settings."""
    schema = tap["settings"]
    rows = [
        readme_row(name, declared, required=name in schema["required"])
        for name, declared in own_settings(schema).items()
    ]
    lines = ["| setting | type | default | |", "|---|---|---|---|", *rows]
    return fill(document, "settings", "\n".join(lines) + "\n")


def fill(document: str, name: str, part: str) -> str:
    """Return a document with a section replaced, indented as its markers are.

    Raises:
        ValueError: when the document lacks the section's markers.
    """
    marked = re.compile(
        rf"(?P<open>^(?P<indent> *)(?:# <{name}>|<!-- {name} -->)[^\n]*\n)"
        rf".*?(?P<close>^ *(?:# </{name}>|<!-- /{name} -->))",
        re.DOTALL | re.MULTILINE,
    )
    found = marked.search(document)
    if found is None:
        msg = f"the markers of the section '{name}' are missing"
        raise ValueError(msg)
    text = found["open"] + textwrap.indent(part, found["indent"]) + found["close"]
    return document[: found.start()] + text + document[found.end() :]


FILES = {"meltano.yml": meltano_yml, "plugin.yaml": plugin_yaml, "README.md": readme}


def main() -> int:
    """Write or check all sections and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    different = False
    tap = about()
    for name, renew in FILES.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = renew(old, tap)
        if not check:
            path.write_text(new, encoding="utf-8")
        elif new != old:
            different = True
            lines = difflib.unified_diff(
                old.splitlines(), new.splitlines(), name, "as the tap says", lineterm=""
            )
            print(*lines, sep="\n")
    if different:
        print("Run `python dev/settings.py` to renew these sections.", file=sys.stderr)
    return int(different)


if __name__ == "__main__":
    sys.exit(main())
