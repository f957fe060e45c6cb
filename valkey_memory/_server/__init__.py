"""One server: its URL, an embedded one, GLIDE's clients and errors, the running of plans."""
