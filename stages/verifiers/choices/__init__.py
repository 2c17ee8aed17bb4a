"""Multiple choice: options, and answers that name them."""
