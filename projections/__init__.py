"""What the business asks: disposable folds of the log, and the queries that read them."""
