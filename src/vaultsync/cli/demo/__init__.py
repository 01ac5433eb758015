"""`vaultsync demo`: its steps, and the devices that they are done on."""
