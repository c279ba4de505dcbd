"""Answers from data that are drawn, or dealt, again."""
