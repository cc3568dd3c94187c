"""The process and its machine: CPUs, signals, child processes, the terminal. Standard library alone."""
