"""One module for each library that runs an engine."""
