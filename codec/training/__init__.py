"""Training of the codec: losses, balancing, averaging of weights, data and the Lightning module."""
