"""The command line: options, the request they make, and one function a command."""
