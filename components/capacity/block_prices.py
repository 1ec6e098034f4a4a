"""What an hour of a machine in a Capacity Block costs, by instance type, in US dollars. The offering's upfront fee is what is paid; EC2 has
no list of it, and these are the rates of its public page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

SINCE = date(2026, 10, 7)
"""From when on blocks are sold at these rates (Amazon EC2 Capacity Blocks for ML pricing, read 2026-09; US regions)."""

REVIEWED = date(2027, 1, 1)
"""When AWS says the rates next: it has done so every quarter, and raised them in January, July and October 2026."""

USD_PER_HOUR: Mapping[str, float] = {
    "p4d.24xlarge": 13.568,
    "p4de.24xlarge": 20.368,
    "p5.4xlarge": 5.970,
    "p5.48xlarge": 47.76,
    "p5e.48xlarge": 54.928,
    "p5en.48xlarge": 63.16,
    "p6-b200.48xlarge": 113.664,
    "p6-b300.48xlarge": 129.168,
}
