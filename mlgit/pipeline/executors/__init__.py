"""Where the commands of stages run; each executor is one module."""
