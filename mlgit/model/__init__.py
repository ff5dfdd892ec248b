"""Pure values and their codecs: no file is opened and nothing is printed in this package."""
