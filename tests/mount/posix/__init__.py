"""System calls, played on the drive and on a plain folder: both must tell the same."""
