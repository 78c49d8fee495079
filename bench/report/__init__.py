"""From run folders to committed numbers, tables, figures and pages. Never imports torch."""
