"""The one error that users see."""


class StudyError(ValueError):
    """Something the user can put right: one line that names the key, the value and what would be right."""
