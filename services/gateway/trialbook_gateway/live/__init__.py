"""Live streams: one NATS subscription per followed run or workspace, shared by all clients of this gateway."""
