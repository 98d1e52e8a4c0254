"""What the lab raises: one line that says what cannot be done, why, and what to do about it."""


class LabError(Exception):
    """For people; the text is complete."""
