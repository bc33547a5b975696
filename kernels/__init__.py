"""Sources for accelerators."""
