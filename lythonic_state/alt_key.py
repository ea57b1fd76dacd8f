"""What people call a row by: alternative keys, and how they lead through foreign keys."""
