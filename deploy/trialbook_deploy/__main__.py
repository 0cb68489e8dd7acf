"""`python -m trialbook_deploy`: the command line."""

from trialbook_deploy.cli import main

if __name__ == "__main__":
    main()
