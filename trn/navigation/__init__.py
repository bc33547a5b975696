"""The navigation state over time: inertial propagation, updates, and what is known of the error."""
