"""gantool's files, read with the standard library and NumPy alone: graphs, plans, sidecars, recipes."""
