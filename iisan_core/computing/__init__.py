"""What computes: threads of one process, and processes together."""
