"""The demo: rules take effect on live connections through a real Envoy. Needs ``meltemi[demo]``."""

from meltemi.demo.choice import Wanted
from meltemi.demo.stage import main

__all__ = ["Wanted", "main"]
