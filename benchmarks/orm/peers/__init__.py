"""One file per library. A file is imported only in the process that measures it."""
