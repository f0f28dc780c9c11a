"""``python -m tap_zoom_cc``: the same command as ``tap-zoom-cc``."""

from __future__ import annotations

from tap_zoom_cc.tap import TapZoomCC

TapZoomCC.cli()
