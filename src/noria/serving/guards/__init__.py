"""Who may come in, how often, and how slowly: keys, rates, certificates, connections."""
