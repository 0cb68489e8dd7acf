"""The composition root: starts the services together and offers the command line."""
