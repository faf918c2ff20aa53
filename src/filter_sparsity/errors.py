"""The one exception that stands for a mistake of the user's."""


class UserError(Exception):
    """Something the user can mend. Its text is one line: what is wrong, where, and what to do."""
