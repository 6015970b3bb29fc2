"""What a metric's scores are worth, as frozen records."""
