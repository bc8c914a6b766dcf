"""Starting and stopping a gRPC server, with health, settings, authentication and errors."""
