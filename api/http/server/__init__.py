"""What serves requests, whatever they are about."""
