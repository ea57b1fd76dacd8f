"""Programs to read and run; each one has a module docstring that says what it shows."""
