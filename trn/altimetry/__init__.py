"""The altimeter against the map: expected range, cross-check, and the baseline that flew."""
