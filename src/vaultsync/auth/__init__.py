"""Accounts: sign-up to sign-out, the person's temporary credentials, where secrets are kept."""
