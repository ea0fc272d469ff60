"""Benchmarks: what the work costs on this machine, as plain records with medians and spread."""
