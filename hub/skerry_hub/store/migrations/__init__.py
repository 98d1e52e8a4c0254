"""The steps from each version of the store to the next. A released step is never edited."""
