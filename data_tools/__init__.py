"""From the world to a dataset folder: importers, checks, statistics, and the demo world."""
