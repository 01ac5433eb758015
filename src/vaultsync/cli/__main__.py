"""`python -m vaultsync.cli`: how `start` starts the daemon, wherever the script is installed."""

from vaultsync.cli.main import main

if __name__ == "__main__":
    main()
