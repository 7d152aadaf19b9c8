"""The three nouns that rooms hand on, each a plain folder: dataset, run, bundle."""
