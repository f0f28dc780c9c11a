"""What of the environment would make a run fail, or is not what it was meant to be.

Variables that nothing reads, proxies, certificates and log levels. Of a proxy nothing is quoted.
"""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from requests.utils import get_environ_proxies, select_proxy

from tap_zoom_cc.configuration import CONFIG_SCHEMA, VARIABLE_PREFIX
from tap_zoom_cc.run.log import excerpt, nearest, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Name the certificates to trust; requests takes the first that is set."""


def proxy_problems(urls: Iterable[str]) -> list[str]:
    """Say whether the environment names something as a proxy that has no host, or no such port.

    Its value may hold a password and is not told.
    """
    for url in urls:
        proxy = select_proxy(url, get_environ_proxies(url))
        try:
            parts = urlsplit(f"//{(proxy or '').rpartition('//')[2]}")
            # To ask for a port that is none raises ValueError.
            is_usable = not proxy or (bool(parts.hostname) and parts.port != 0)
        except ValueError:
            is_usable = False
        if not is_usable:
            variable = f"{urlsplit(url).scheme}_proxy"
            return [f"{variable}: is no URL of a proxy such as http://proxy.example.com:3128"]
    return []


def misspelled_variables() -> list[str]:
    """Name the environment variables that nothing reads, and that are nearly those of a setting.

    Others with the prefix may be the user's own, such as a salt for stream maps. Meltano's own have
    two underscores (``TAP_ZOOM_CC__SELECT``). A plugin that inherits the tap has variables that end
    with a setting's name (``TAP_ZOOM_CC_SHARD_1_START_DATE``).
    """
    known = {"LOGLEVEL", *(name.upper() for name in CONFIG_SCHEMA["properties"])}
    lines = []
    for variable in sorted(os.environ):
        name = variable.removeprefix(VARIABLE_PREFIX)
        if name == variable or name in known or "__" in variable or _is_inherited(name, known):
            continue
        if meant := nearest(name, known).replace("mean ", f"mean {VARIABLE_PREFIX}"):
            ignored = "there is no such setting, so it is ignored"
            lines.append(f"{printable(variable)}: {ignored}{meant}")
    return lines


def _is_inherited(name: str, known: Collection[str]) -> bool:
    """Say whether a variable is of a plugin whose name goes on after the tap's, such as shard-1."""
    plugins = [name.removesuffix(f"_{each}") for each in known if name.endswith(f"_{each}")]
    return any(not any(each.startswith(plugin) for each in known) for plugin in plugins)


def certificate_problems() -> list[str]:
    """Say whether the file or folder of certificates that the environment names can be used."""
    name = next((name for name in CERTIFICATE_VARIABLES if os.environ.get(name)), "")
    path = os.environ.get(name, "")
    if not path:
        return []
    try:
        folder, file = (path, None) if Path(path).is_dir() else (None, path)
        ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:
        reason = "holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        return [f"{name}: {path}: {reason}; it must name a file of certificates to trust"]
    return []


def forget_unknown_log_levels() -> list[str]:
    """Take log levels that do not exist out of the environment, and say so; empty ones say nothing.

    The SDK's own set-up would fail; other programs may know more levels, so that is no error.
    """
    warnings = []
    for name in (f"{VARIABLE_PREFIX}LOGLEVEL", "LOGLEVEL"):
        level = os.environ.get(name)
        try:
            logging.NullHandler(logging.INFO if level is None else level.upper())
        except ValueError:
            del os.environ[name]
            if level:
                warnings.append(f"{name}: there is no level '{excerpt(level)}', so it is ignored")
    return warnings
