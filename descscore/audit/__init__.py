"""Audits of alt texts: documents → image elements → rules and scores → findings → report."""
