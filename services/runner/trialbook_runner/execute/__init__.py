"""How an attempt is executed: as a task of the runner, or in a process of its own."""
