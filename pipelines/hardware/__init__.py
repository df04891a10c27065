"""Where the steps of a compiled pipeline run: profiles of hardware, and how they reach a step."""

from pipelines.hardware.profile import Hardware, available_hardware, load_hardware

__all__ = ["Hardware", "available_hardware", "load_hardware"]
