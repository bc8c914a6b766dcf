"""How runs are kept in the database."""
