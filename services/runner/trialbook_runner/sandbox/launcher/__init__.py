"""What runs between the runner and a program, in interpreters of its own; imports nothing of the project."""
