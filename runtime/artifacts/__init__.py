"""Files of gantool, read with the standard library and NumPy alone: graphs, plans, sidecars, recipes."""
