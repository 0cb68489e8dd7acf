"""Commands over NATS: ``cmd.<workspace>.<verb>`` by request/reply, carried out as HTTP requests are."""
