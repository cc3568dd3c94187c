"""What this machine has, and whether it works. Each check imports what it checks."""
