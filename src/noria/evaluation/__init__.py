"""What a model is worth: scores beside the truth go in, numbers with their intervals and a report come out."""
