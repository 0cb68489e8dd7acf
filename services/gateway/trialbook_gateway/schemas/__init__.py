"""What requests of the native API look like, as pydantic models. Replies are the contracts' own structs."""
