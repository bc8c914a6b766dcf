"""What a producer has said and the server has not yet acknowledged, kept on disk."""
