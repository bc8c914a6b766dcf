"""The spine of every service: an ordered durable record, a fast lossy bus, and their splice."""
