"""What folds the log into answers, whatever they are about."""
