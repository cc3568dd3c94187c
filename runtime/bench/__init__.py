"""Rates, latencies and power of engines. May import what the runtime may."""
