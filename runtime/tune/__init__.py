"""Choose the best file for a budget by measurement. May import the same libraries as the runtime."""
