"""The only code that changes the local disk, and the only code that knows platforms apart."""
