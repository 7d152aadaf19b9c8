"""The page on which findings are answered, input by input: `noria check DATA --page`."""
