"""From verdicts to tables, figures and reports."""
