"""One module per subcommand of `trialbook`."""
