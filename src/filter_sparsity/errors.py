"""The exceptions that end a call with one line."""


class UserError(Exception):
    """Something the user can mend. Its text is one line: what is wrong, where, and what to do."""


class Unfinished(Exception):
    """A call that was to stop before its work was done; called again, it goes on. Its text is one line."""
