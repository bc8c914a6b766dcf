"""Tells what this machine is."""

import os
import socket
from pathlib import Path
from typing import Final

from trackside_plugin_interface import Machine

PRODUCT: Final = Path("/sys/devices/virtual/dmi/id/product_name")
MEANINGLESS: Final = frozenset(
    {"", "none", "default string", "system product name", "to be filled by o.e.m."}
)
"""What makers of boards leave in the place of a product's name."""


def describe_machine(process_id: int) -> Machine:
    """Return this machine, on which a run has that process."""
    system = os.uname()
    return Machine(
        host=socket.gethostname(),
        machine_type=machine_type(PRODUCT),
        platform=f"{system.sysname} {system.release} {system.machine}",
        cpu_count=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        process_id=process_id,
    )


def machine_type(product: Path) -> str:
    """Return the product's name, on many clouds the instance type, or else the architecture."""
    try:
        name = product.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = ""
    return os.uname().machine if name.lower() in MEANINGLESS else name
