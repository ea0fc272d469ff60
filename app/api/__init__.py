"""Runs as an HTTP service for programs: recommendations, similar items, reasons, new items, metrics."""
