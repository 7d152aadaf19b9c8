"""The HTTP door. A request walks: `door` (who, how much) -> a protocol's file (what) -> `service` -> `door` (out)."""
