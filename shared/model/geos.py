"""The geographies that exist, by their Power Platform names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GEOS: Mapping[str, Any] = json.loads(Path(__file__).with_name("geos.json").read_text())
"""Geo name to ``{"code", "regions"}``: the Azure regions in which its data may lie (P3)."""
