"""What a request must be whatever the state: shapes of messages as data, checked field by field."""
