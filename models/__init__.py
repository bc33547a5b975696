"""Network weights, what made them, and what they were measured with."""
