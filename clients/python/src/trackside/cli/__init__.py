"""The command line `trackside`. Each command's module is imported only when it is used."""
