"""Answers in one spelling, before anything is read out of them."""
