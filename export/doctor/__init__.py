"""System info and self-test of this machine. Each check imports only the library that it checks."""
