"""The figures that the report prints and that the demo has to reproduce, at full scale.

They are inputs here. The projections derive them again from the events and know nothing of this;
what they are held against is `report.toml`, which is entered like anybody's report.
"""

from importlib.resources import files

REPORT = files("demo").joinpath("report.toml").read_bytes()
REPORT_ID = "vip-2008"

VIPS = {"diamond": 821, "gold": 4_113, "silver": 25_165, "member": 46_286}
VIP_GROWTH = 4_044
HEALTH_VISITS = 692
LOUNGE_VISITS = 26_400
"""2,200 a month over twelve months."""
BINDING_BASE = 104_628
BOUND = 43_204
CAMPAIGNS = {
    "yi_lu_zou_guo": (10_316, 9_238_200),
    "ten_years_gift": (25_350, 13_176_100),
    "golden_autumn": (129, 114_200),
}
"""Heads and prepaid yuan."""
RETENTION_PERCENT = "98.82"
ON_NET_PERCENT = "99.95"
