"""What an answer can be: how each kind is read, and when two of a kind are the same."""
