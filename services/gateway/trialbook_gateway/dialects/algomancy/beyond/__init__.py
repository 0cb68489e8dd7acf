"""What the original does not have, beyond single scenarios: push, comparison, sweeps, archives, exports."""
