"""Where in a response its final answer stands."""
