"""Rates, latencies and power of engines. May import the same libraries as the runtime."""
