"""Training: batches of distinct items, states on the device, epochs, the run folder."""
