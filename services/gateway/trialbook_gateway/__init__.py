"""The gateway: HTTP, WebSocket and SSE over the ledger and its projections."""
