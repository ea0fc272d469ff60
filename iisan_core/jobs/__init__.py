"""Detached processes that outlive whoever started them: start, queue, stop, find again."""
